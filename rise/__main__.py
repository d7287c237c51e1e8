"""`python -m rise` is the command `rise`."""

from rise.cli.main import main

if __name__ == "__main__":
    main()
