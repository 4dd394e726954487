"""Load the one library whose SONAME is given, and say where it was found."""

import sys

import cuda_libraries
from common import emit

if __name__ == "__main__":
    emit(cuda_libraries.load(sys.argv[1]))
