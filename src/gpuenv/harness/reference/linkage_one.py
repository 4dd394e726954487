"""Load the one library whose SONAME is given, and say where it was found."""

import sys

import linkage
from common import emit

if __name__ == "__main__":
    emit(linkage.load(sys.argv[1]))
