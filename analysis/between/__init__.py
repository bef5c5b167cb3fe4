"""Between the towers: what runs from one to the other, how alike they are, and what can be read off either."""
