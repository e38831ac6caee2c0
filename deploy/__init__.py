"""What brings Ostiary onto boxes. The code here runs on a host, in a checkout; what is beside it is data."""
