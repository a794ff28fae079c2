"""What the Makefile, the containers and the documentation are made with."""
