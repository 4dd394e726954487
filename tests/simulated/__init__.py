"""What stands in for machines, drivers and servers in the tests."""
