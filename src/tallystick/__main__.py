"""`python -m tallystick`: the command line, where the command itself is not on the path."""

from tallystick.cli import main

if __name__ == "__main__":
    main()
