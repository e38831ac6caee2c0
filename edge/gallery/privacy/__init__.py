"""What people may ask for: to be erased, to be forgotten in time, and to see what is kept of them."""
