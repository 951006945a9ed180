"""The same numbers, sooner: blocked products, and lower bounds of distances."""
