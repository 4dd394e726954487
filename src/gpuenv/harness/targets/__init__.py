"""What is checked: images, virtual and conda environments and remote hosts, and how commands run in each."""
