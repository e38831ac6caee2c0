"""A fleet to try the playbooks on: boxes with a real service manager, each in namespaces of its own."""
