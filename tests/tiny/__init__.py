"""A variant that builds in seconds: tiny packages in the place of TensorFlow and Keras, from an index on loopback."""
