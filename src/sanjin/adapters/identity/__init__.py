"""Who a node is: its device key, the certificates that its parent issues, and what a parent knows of its children."""
