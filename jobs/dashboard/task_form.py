"""The form of a task: one input for each argument, made from the JSON schema of the task.

The form itself checks next to nothing. It turns text into JSON, and the engine says what does not
fit, as it does for every other caller; :meth:`TaskForm.show_problems` puts that at the fields.
"""

import json
from collections.abc import Mapping
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from jobs.definition import LONGEST_WAIT
from jobs.errors import InvalidPayload
from jobs.models import Priority
from jobs.payload import MASK, check
from jobs.queues import QUEUES
from jobs.task import JobTask

#: Prefix of the arguments' inputs, so that none collides with an option.
_ARGUMENT = "arg-"

#: Not a type of JSON schema: a number that JSON carries as text.
_DECIMAL = "decimal"

_NUMBERS = {"integer": "a whole number", "number": "a number", _DECIMAL: "a number"}
_INPUT_TYPES = {"date": "date", "email": "email", "date-time": "text", "time": "time"}
_HINTS = {
    "date-time": "a time with its zone, such as 2026-11-21T09:30:00+01:00",
    "duration": "an ISO 8601 duration, such as PT15M",
    "uuid": "a UUID",
}


def _unwrapped(schema: Mapping[str, Any]) -> dict[str, Any]:
    """``T | None`` is entered as T; a ``Decimal`` as text, because a float would round it."""
    options = [item for item in schema.get("anyOf", []) if item.get("type") != "null"]
    if {item.get("type") for item in options} == {"number", "string"}:
        return {**schema, "type": _DECIMAL}
    return {**schema, **options[0]} if len(options) == 1 else dict(schema)


class Argument:
    """One argument: how it is entered, and how its text becomes JSON."""

    def __init__(self, name: str, schema: Mapping[str, Any], *, is_required: bool) -> None:
        self.name = name
        self.is_nullable = any(item.get("type") == "null" for item in schema.get("anyOf", []))
        self.schema = _unwrapped(schema)
        self.is_required = is_required
        self.kind = str(self.schema.get("type", ""))
        self.is_secret = bool(self.schema.get("writeOnly"))
        self.choices = list(self.schema.get("enum", []))
        if "const" in self.schema:
            self.choices = [self.schema["const"]]
        if "$ref" in self.schema or self.kind in ("", "array", "object"):
            self.kind = "json"

    def field(self) -> forms.Field:
        """Return the input."""
        options: dict[str, Any] = {
            "label": self.name,
            "required": False,
            "help_text": self._hint(),
        }
        if self.choices:
            choices = [("", "—"), *((json.dumps(value), str(value)) for value in self.choices)]
            return forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget, **options)
        if self.kind == "boolean":
            return forms.BooleanField(widget=UnfoldBooleanSwitchWidget, **options)
        return forms.CharField(widget=self._widget(), strip=False, **options)

    def _widget(self) -> Any:
        if self.is_secret:
            return UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"})
        if self.kind == "json":
            return UnfoldAdminTextareaWidget(attrs={"rows": 4, "spellcheck": "false"})
        numeric = {"inputmode": "decimal"} if self.kind in _NUMBERS else {}
        kind = _INPUT_TYPES.get(str(self.schema.get("format")), "text")
        return UnfoldAdminTextInputWidget(attrs={"type": kind, "autocomplete": "off", **numeric})

    def _hint(self) -> str:
        parts = ["required" if self.is_required else "optional"]
        if "default" in self.schema and self.schema["default"] not in (None, ""):
            parts.append(f"default {json.dumps(self.schema['default'], ensure_ascii=False)}")
        named = {"json": "JSON", **_NUMBERS}.get(self.kind)
        parts += [text for text in (named, _HINTS.get(str(self.schema.get("format")))) if text]
        limits = {
            "minimum": "at least {}",
            "maximum": "at most {}",
            "maxLength": "at most {} characters",
        }
        parts += [
            text.format(self.schema[key]) for key, text in limits.items() if key in self.schema
        ]
        if self.is_secret:
            parts.append("kept encrypted")
        return " · ".join(parts)

    def initial(self, value: Any) -> Any:
        """Turn JSON into what the input shows."""
        if self.choices or self.kind == "json":
            return json.dumps(value, ensure_ascii=False, indent=None if self.choices else 2)
        return value

    def value(self, text: Any) -> Any:
        """Turn what was entered into JSON; what cannot be is left as it is, for the engine."""
        if self.choices or self.kind in ("json", "integer", "number"):
            try:
                return json.loads(text)
            except ValueError:
                return text
        return text


class TaskForm(forms.Form):
    """The arguments of a task."""

    def __init__(
        self,
        task: JobTask[Any, Any],
        data: Mapping[str, Any] | None = None,
        *,
        given: Mapping[str, Any] | None = None,
    ) -> None:
        schema = task.definition.arguments.model_json_schema()
        definitions = schema.get("$defs", {})
        required = set(schema.get("required", []))
        self.arguments = [
            Argument(name, _resolved(item, definitions), is_required=name in required)
            for name, item in schema.get("properties", {}).items()
        ]
        self.given = dict(given or {})
        super().__init__(data, initial=self._initial())
        for argument in self.arguments:
            field = argument.field()
            if argument.is_secret and self.given.get(argument.name):
                field.widget.attrs["placeholder"] = MASK
                field.help_text = f"{field.help_text} · stays as it is when left empty"
            self.fields[_ARGUMENT + argument.name] = field

    @property
    def no_longer_taken(self) -> list[str]:
        """Arguments that were given before, and that the task does not know any more."""
        return sorted(self.given.keys() - {argument.name for argument in self.arguments})

    def _initial(self) -> dict[str, Any]:
        initial = {}
        for argument in self.arguments:
            default = argument.schema.get("default") if argument.kind == "boolean" else None
            value = self.given.get(argument.name, default)
            if value is not None and not argument.is_secret:
                initial[_ARGUMENT + argument.name] = argument.initial(value)
        return initial

    def payload(self) -> dict[str, Any]:
        """Return the arguments that were entered; call it on a valid form.

        An argument left empty is not given, so that its default holds; but where there was a value
        before, emptying the input means to take it away.
        """
        found = {}
        for argument in self.arguments:
            text = self.cleaned_data.get(_ARGUMENT + argument.name, "")
            if text not in ("", None):
                found[argument.name] = argument.value(text)
            elif self.given.get(argument.name) not in ("", None) and not argument.is_secret:
                found[argument.name] = None if argument.is_nullable else ""
        return found

    def fits(self, task: JobTask[Any, Any]) -> bool:
        """Whether the task takes what was entered; if not, the fields say why."""
        if not self.is_valid():
            return False
        try:
            check(task.definition.arguments, task.definition.name, self.payload())
        except InvalidPayload as error:
            self.show_problems(error)
        return not self.errors

    def show_problems(self, error: InvalidPayload) -> None:
        """Put each problem at the field that it names."""
        for name, problem in error.problems.items():
            field = _ARGUMENT + name.split(".")[0]
            where = f"{name}: " if "." in name else ""
            self.add_error(field if field in self.fields else None, f"{where}{problem}")


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """An enumeration stands in ``$defs``: it is a choice all the same."""
    target = definitions.get(str(schema.get("$ref", "")).rpartition("/")[2], {})
    return {**schema, **target} if "enum" in target else dict(schema)


class OptionsForm(forms.Form):
    """How the job differs from what its task declares."""

    queue = forms.ChoiceField(
        required=False,
        widget=UnfoldAdminSelectWidget,
        choices=lambda: [("", "the task's own"), *((name, name) for name in QUEUES)],
    )
    priority = forms.TypedChoiceField(
        required=False,
        coerce=lambda value: Priority(int(value)),
        empty_value=None,
        choices=[("", "the task's own"), *Priority.choices],
        widget=UnfoldAdminSelectWidget,
    )
    tenant = forms.CharField(required=False, max_length=64, widget=UnfoldAdminTextInputWidget)
    delay = forms.FloatField(
        label="Run in (seconds)",
        required=False,
        min_value=0,
        max_value=LONGEST_WAIT.total_seconds(),
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "placeholder": "now"}),
    )
    expires = forms.FloatField(
        label="Expires after (seconds)",
        required=False,
        min_value=1,
        max_value=LONGEST_WAIT.total_seconds(),
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "placeholder": "never"}),
    )
