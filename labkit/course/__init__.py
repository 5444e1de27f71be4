"""The side of instructors and CI; nothing that a student imports."""
