"""What proposes objects on a frame: interface, and one file or folder a proposer."""
