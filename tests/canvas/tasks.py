"""What workers with the settings of this package find."""

from tests.canvas.arithmetic import declare

declare()
