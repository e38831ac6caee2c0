"""What `ostiary demo` needs besides the daemon."""
