"""What every part that touches the user's files shares: reading text, listing folders. No knowledge of videos or masks."""
