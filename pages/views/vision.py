"""Vision: classifiers of pictures and denoisers, trained or run once."""

from memcalc.ui.vision_page import PAGE

PAGE.show()
