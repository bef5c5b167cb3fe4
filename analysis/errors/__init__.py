"""What a table of predictions (`analysis.predictions`) says about a network's errors: Arrow in, plain values out.

    selection.select(table, Selection(criterion="top-5 wrong", order="most wrong"), names) -> positions, in order
    rates.rates(table)                        shares of wrong images with their intervals
    classes.class_rows(table, names)          the same for each class
    confusions.confused_pairs(table)          which classes are taken for which
    calibration.calibration(table)            whether a confidence means what it says
    comparison.compare(first, second)         what another checkpoint mends and breaks on the same images
    groups.groups(classes, names)             dogs, vehicles, food ...: labels by group

An image is right at top-1 if its ``rank`` is 0, at top-5 if it is below 5, wherever the two are counted. Only the
columns that are needed are touched, so that everything works on the 1.28 million rows of ImageNet's training set.
"""
