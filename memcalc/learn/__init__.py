"""What the workshop teaches, as functions over estimates: no sentence in it has a number that was not computed."""
