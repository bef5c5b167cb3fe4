"""``python -m analysis.lesions CHECKPOINT``."""

from analysis.lesions.study import main

if __name__ == "__main__":
    main()
