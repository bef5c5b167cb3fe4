"""Section: what the words mean, and what cannot be said."""

import streamlit as st

from viz_app.figures.lesions import HOW_TO_READ

KERNELS = """
- **Chroma** is the share of a kernel's energy that a grey image cannot reach: 0 is a black-and-white kernel, 1 a pure
  colour kernel. Random weights have 0.67, so an untrained network looks colourful; kernels that are still noise, or
  close to zero, are left out, and the *learned part* takes off what is left of the start.
- **The question was declared before looking**: do the towers' live kernels differ in mean chroma? The answer is tested
  against 100,000 random ways to deal the same kernels to two towers. *Specialised*: beyond 99.9% of them; *weak*:
  beyond 95%; *no evidence*: inside; *not measurable*: under 20 live kernels in a tower. Which tower is called A is an
  accident of training, so only the size of the difference is tested.
- **Two shares, because the split is lopsided.** In the published networks nearly all colour kernels sit in one tower,
  but that tower has grey kernels too. Colour begins at Otsu's threshold, which does not look at the towers. A threshold
  picked because it parts them well proves nothing; the sweep shows all thresholds with a band that allows for the pick.
- **Everything else is secondary**: the indices in the table are adjusted for being many (Holm).
- **Two kinds of grey.** A kernel has chroma 0 if it reads the plain sum R + G + B. Pictures are turned grey at equal
  luma (0.299 R + 0.587 G + 0.114 B), as the eye would have it; a kernel of chroma 0 can still notice a change of hue.
"""
NETWORKS = """
- **The network is the unit.** Kernels of one network compete with each other, so a p-value within a network describes
  that network. Whether training parts the towers is asked across seeds: how far apart, beyond what shuffled labels
  give (with a t interval: of three networks it is wide, as it should be); an exact sign test; a joint p-value, small if
  shuffled labels rarely part these networks as far; and the rate that the true one exceeds with 95% confidence. If all
  of 3 networks split, that is 37%; of 10, 74%.
- **A condition removes the effect** if its networks lie in the band of chance while those of the case do not. One tower
  is halved arbitrarily: that is what no towers look like.
- **Function** asks what the towers are for, whatever their kernels look like: conv1 and conv2 of one tower are
  silenced, and one looks whether hue suffers more than shape (colour more than grey). The null are random halves of
  the same network against their rest.
- **Probes** ask what the towers know: a linear classifier is to tell hue and orientation of gratings from a tower's
  pool2. The null are random halves of pool2.
- **Blind cut**: a network without groups has no towers, but its conv2 may read some kernels together. It is halved
  there, without looking at colour. The cut is found in the finished network; the time course looks back along it.
- **A network counts** if it has learned something (20% top-1, or three times chance) and 60 of its 96 kernels are live.
"""
ROUTING = """
- **conv3 is the first layer that may read both towers.** If towers did not matter half of its weights would run between
  them.
- **CKA** compares what two sets of units make of the same images, whatever the units' order. Two random halves of one
  layer are alike too, so the towers are compared with those.
- **Probes** ask what a linear classifier can read off a tower, not what the network uses.
"""


def show() -> None:
    """The words, topic by topic."""
    for title, text in (
        ("Kernels", KERNELS),
        ("Networks", NETWORKS),
        ("Routing", ROUTING),
        ("Lesions", HOW_TO_READ),
    ):
        st.subheader(title)
        st.markdown(text)
