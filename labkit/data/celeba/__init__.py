"""CelebA in any form: where it lies, what its tables say, and one prepared memory map."""
