"""One function per verb: what it needs of the world, what it decides, what it moves. The only writers of these models."""
