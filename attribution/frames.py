"""Which frame or page of a file is the image: an animation may begin blank, and a TIFF with its thumbnail."""

from PIL import Image, ImageStat

# An animation whose first frame varies less than this, in levels of gray, may be fading in.
_SHOWS = 12.0
_THUMBNAIL = (64, 64)
# What is decoded in search of a frame: fades end within a few seconds.
_MAX_FRAMES = 100
_MAX_PIXELS = 100_000_000


def select_frame(image: Image.Image, *, by_content: bool) -> int:
    """Seeks to the frame to be used, and returns its index, from 0.

    Of a TIFF the largest page is used. Of an animation the first frame is, unless it shows next to nothing: then it is
    the first frame with at least half the contrast of any frame that was searched. A PNG's hidden default image, which
    no viewer of animations shows, is passed over.

    Args:
        image: An opened image.
        by_content: Whether frames may be decoded for that; otherwise an animation's first frame is used.
    """
    frames = int(getattr(image, "n_frames", 1))
    if frames == 1 or image.format == "MPO":  # whose further images are views, or maps of light
        return 0
    chosen = 0
    if image.format == "TIFF":
        chosen = _largest_page(image, frames)
    elif by_content:
        chosen = _first_that_shows(image, frames, 1 if getattr(image, "default_image", False) else 0)
    image.seek(chosen)
    return chosen


def _largest_page(image: Image.Image, pages: int) -> int:
    sizes = []
    for page in range(min(pages, _MAX_FRAMES)):
        image.seek(page)
        sizes.append(image.width * image.height)
    return sizes.index(max(sizes))


def _first_that_shows(image: Image.Image, frames: int, first: int) -> int:
    searched = max(1, min(frames - first, _MAX_FRAMES, _MAX_PIXELS // (image.width * image.height)))
    contrasts: list[float] = []
    for index in range(first, first + searched):
        image.seek(index)
        contrasts.append(_contrast(image))
        if index == first and contrasts[0] >= _SHOWS:
            return first
    enough = max(contrasts) / 2
    return first + next(index for index, contrast in enumerate(contrasts) if contrast >= enough)


def _contrast(image: Image.Image) -> float:
    """The standard deviation of its gray levels, on white."""
    small = image.convert("RGBA").reduce(max(1, min(image.width // _THUMBNAIL[0], image.height // _THUMBNAIL[1])))
    ground = Image.new("RGBA", small.size, "white")
    return float(ImageStat.Stat(Image.alpha_composite(ground, small).convert("L")).stddev[0])
