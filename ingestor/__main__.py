"""`python -m ingestor` is the command `ingestor`."""

from ingestor.cli import main

if __name__ == "__main__":
    main()
