"""What both sides of the talk share; the one part of `course` that a sandboxed kernel sees."""
