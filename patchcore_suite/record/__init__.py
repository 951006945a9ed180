"""What machines make of one small set of cells: records that are kept, and how far this machine is from them."""
