"""All distortions by name. Ranges are the published scripts', and ours where those give none."""

from evaluation.distort.distortion import Distortion
from evaluation.distort.transforms import (
    blur,
    brightness,
    center_crop,
    contrast,
    gaussian,
    jpeg,
    median,
    perlin,
    platform,
    print_scan,
    resize,
    rotation,
    round_trip,
    there_and_back,
    webp,
    white,
)  # fmt: skip

DISTORTIONS = {
    each.name: each
    for each in (
        Distortion("jpeg", "R", "quality 50–100", jpeg(50, 100)),
        Distortion("webp", "R", "quality 50–100", webp(50, 100)),
        Distortion("resize", "R", "×0.4–2.0", resize(0.4, 2.0)),
        Distortion("crop", "R", "the middle, 0.5–0.9 of each side", center_crop(0.5, 0.9)),
        Distortion("rotation", "R", "±5°, corners black", rotation(5)),
        Distortion("contrast", "R", "×1.2–2.4", contrast(1.2, 2.4)),
        Distortion("brightness", "R", "×1.2–2.4", brightness(1.2, 2.4)),
        Distortion("blur", "R", "Pillow's BLUR", blur()),
        Distortion("median", "R", "window of 3, 5 or 7", median((3, 5, 7))),
        Distortion("grayscale", "R", "to L and back", round_trip("L")),
        Distortion("hsv", "R", "to HSV and back", round_trip("HSV")),
        Distortion("cmyk", "R", "to CMYK and back, without profiles", round_trip("CMYK")),
        Distortion("white-noise", "R", "σ 16–64, each channel by itself", white(16, 64)),
        Distortion("perlin-noise", "R", "lattice of 4–12 pixels, amplitude 8–32, gray", perlin((4, 12), (8, 32))),
        Distortion("social", "R", "fitted into 1080², JPEG 85", platform(1080, 85)),
        Distortion("twitter", "R", "fitted into 4096², JPEG 85", platform(4096, 85)),
        Distortion(
            "print-scan", "R", "×0.8–1.2, ±5°, noise σ 8–32", print_scan((0.8, 1.2), 5, (8, 32))
        ),
        # G gives no numbers; these are ours.
        Distortion("gaussian-blur", "G", "σ 0.5–2 pixels", gaussian(0.5, 2.0)),
        Distortion("half-size", "G", "×0.5 and back", there_and_back(0.5)),
    )
}  # fmt: skip

SAME_IMAGE = {
    each.name: each
    for each in (
        *(Distortion(f"jpeg-{q}", "same", f"JPEG, quality {q}", jpeg(q)) for q in (95, 85, 75, 50, 30)),
        Distortion("webp-80", "same", "WebP, quality 80", webp(80)),
        *(Distortion(f"size-{round(100 * f)}", "same", f"{f} × the size", resize(f)) for f in (0.5, 0.75, 1.5, 2.0)),
    )
}
