"""The instructor's side: release, isolated execution and scoring; nothing that students import may import it."""
