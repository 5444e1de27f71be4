"""`python -m labkit`, for where no script is on the path."""

from labkit.course.cli import main

if __name__ == "__main__":
    main()
