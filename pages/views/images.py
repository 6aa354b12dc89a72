"""Images: text encoders, denoiser and VAE of an image pipeline, phase by phase."""

from memcalc.ui.images_page import PAGE

PAGE.show()
