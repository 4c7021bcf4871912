"""Image files of every kind, and files that are none."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from caso.runner.data.decoding import UnreadableImageError, read_image

GRADIENT = np.tile(np.linspace(0, 255, 32).round().astype(np.uint8), (20, 1))  # dark at the left


def saved(image: Image.Image, path: Path, **options: object) -> np.ndarray:
    image.save(path, **options)
    read = read_image(path)
    assert read.mode == "RGB"
    return np.asarray(read).astype(int)


def test_rgb_and_grey_are_read_as_they_are(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(saved(Image.fromarray(colours), tmp_path / "a.png"), colours)
    grey = saved(Image.fromarray(GRADIENT), tmp_path / "b.png")
    np.testing.assert_array_equal(grey, GRADIENT[..., None].repeat(3, axis=2))


@pytest.mark.parametrize(("orientation", "turn"), [(3, 2), (6, 3), (8, 1)])
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    read = saved(Image.fromarray(GRADIENT), tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read[..., 0], np.rot90(GRADIENT, turn))


def test_broken_exif_does_not_hide_the_picture(tmp_path: Path) -> None:
    read = saved(
        Image.fromarray(GRADIENT), tmp_path / "a.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff", quality=100
    )
    assert read.shape == (20, 32, 3)


def test_cmyk_is_converted(tmp_path: Path) -> None:
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    np.testing.assert_allclose(saved(red, tmp_path / "a.jpg", quality=100)[4, 4], [255, 0, 0], atol=4)
    np.testing.assert_array_equal(saved(red, tmp_path / "a.tif")[4, 4], [255, 0, 0])


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    deep = GRADIENT.astype(np.uint16) * 257
    np.testing.assert_array_equal(saved(Image.fromarray(deep), tmp_path / name)[..., 0], GRADIENT)


def test_floats_in_the_unit_interval_are_scaled(tmp_path: Path) -> None:
    floats = (GRADIENT / 255).astype(np.float32)
    np.testing.assert_array_equal(saved(Image.fromarray(floats), tmp_path / "a.tif")[..., 0], GRADIENT)
    Image.fromarray(floats * 300).save(tmp_path / "b.tif")
    with pytest.raises(UnreadableImageError, match="outside"):
        read_image(tmp_path / "b.tif")


def test_of_a_tiff_of_several_pictures_the_first_one_is_read(tmp_path: Path) -> None:
    pages = [Image.new("L", (4, 4), grey) for grey in (10, 20, 30, 40, 50)]
    read = saved(pages[0], tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert read[0, 0].tolist() == [10, 10, 10]
    tifffile.imwrite(tmp_path / "b.tif", np.stack([GRADIENT] * 5), imagej=True, metadata={"axes": "ZYX"})
    assert np.asarray(read_image(tmp_path / "b.tif")).shape == (20, 32, 3)


@pytest.mark.parametrize("suffix", [".heic", ".HEIF", ".jxl", ".dng"])
def test_kinds_that_are_not_read_say_so(tmp_path: Path, suffix: str) -> None:
    # A camera's raw file begins like a TIFF file, and its first page may be a thumbnail.
    tifffile.imwrite(tmp_path / "a.tif", GRADIENT)
    path = (tmp_path / "a.tif").rename(tmp_path / f"a{suffix}")
    with pytest.raises(UnreadableImageError, match=f"{suffix.lower()} files are not read; convert it to PNG"):
        read_image(path)


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    np.testing.assert_array_equal(saved(palette, tmp_path / "a.png")[0, 0], [10, 200, 30])
    np.testing.assert_array_equal(saved(palette, tmp_path / "b.png", transparency=1)[0, 0], [255, 255, 255])


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (0, 0, 0, 0)), ("LA", (0, 0))])
def test_transparency_is_laid_over_white(tmp_path: Path, mode: str, colour: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(saved(Image.new(mode, (3, 3), colour), tmp_path / "a.png"), 255)


def test_half_transparency_is_mixed_with_white(tmp_path: Path) -> None:
    read = saved(Image.new("RGBA", (3, 3), (0, 0, 0, 128)), tmp_path / "a.png")
    np.testing.assert_allclose(read, 127, atol=1)


def test_one_pixel_and_one_bit(tmp_path: Path) -> None:
    assert saved(Image.new("RGB", (1, 1), (1, 2, 3)), tmp_path / "a.png").tolist() == [[[1, 2, 3]]]
    assert saved(Image.new("1", (2, 1), 1), tmp_path / "b.png").tolist() == [[[255] * 3] * 2]


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert np.asarray(read_image(tmp_path / "a.gif"))[0, 0].tolist() == [255, 0, 0]


def test_names_with_spaces_and_other_alphabets(tmp_path: Path) -> None:
    assert saved(Image.new("RGB", (2, 2)), tmp_path / "größe 写真 .png").shape == (2, 2, 3)


def test_what_is_no_image(tmp_path: Path) -> None:
    empty, text, short = tmp_path / "empty.jpg", tmp_path / "text.jpg", tmp_path / "short.jpg"
    empty.touch()
    text.write_text("hello")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (99, 99, 3), dtype=np.uint8)).save(short)
    short.write_bytes(short.read_bytes()[:2000])
    for path, reason in (
        (empty, "the file is empty"),
        (text, "not an image of a known format"),
        (short, "truncated"),
        (tmp_path / "missing.png", "No such file"),
        (tmp_path, "Is a directory"),
        (Path("/dev/null"), "a pipe or a device"),
    ):
        with pytest.raises(UnreadableImageError, match=reason):
            read_image(path)


# ---------------------------------------------------------------------------------------------------------- arrays

BANDS = np.random.default_rng(0).integers(0, 256, (5, 12, 9), dtype=np.uint8)


def tiff(path: Path, values: np.ndarray, **options: object) -> Path:
    tifffile.imwrite(path, values, **options)
    return path


def reason(path: Path) -> str:
    with pytest.raises(UnreadableImageError) as info:
        read_image(path)
    assert "\n" not in str(info.value)
    return str(info.value)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (BANDS, {}),  # five pages, one array
        (BANDS[None], {}),
        (np.moveaxis(BANDS, 0, -1), {}),  # twelve pages [9, 5]
        (BANDS, {"photometric": "minisblack", "planarconfig": "separate"}),
        (np.moveaxis(BANDS, 0, -1), {"photometric": "minisblack", "planarconfig": "contig"}),
        (BANDS, {"imagej": True}),
        (BANDS, {"ome": True, "metadata": {"axes": "CYX"}}),
        (BANDS[:3], {"photometric": "minisblack"}),
        (BANDS[:2], {}),
        (BANDS.astype(np.uint16) * 257, {}),
        (BANDS.astype(np.float32) / 255, {}),
        (BANDS.astype(np.float64) / 255, {}),
    ],
)
def test_all_bands_of_a_tiff_are_read(tmp_path: Path, values: np.ndarray, options: dict[str, object]) -> None:
    read = read_image(tiff(tmp_path / "a.tif", values, **options))
    count = 5 if 5 in values.shape else len(values)
    torch.testing.assert_close(read, torch.from_numpy(BANDS[:count] / np.float32(255)), rtol=0, atol=1e-7)


def test_named_channels_stay_first_however_many(tmp_path: Path) -> None:
    many = np.zeros((20, 12, 9), dtype=np.uint8)
    assert read_image(tiff(tmp_path / "a.tif", many, metadata={"axes": "CYX"})).shape == (20, 12, 9)


def test_the_first_page_of_a_document_and_the_first_frame_of_a_film(tmp_path: Path) -> None:
    pages = [Image.fromarray(page) for page in BANDS]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    with tifffile.TiffWriter(tmp_path / "written.tif") as writer:
        for page in BANDS:
            writer.write(page)
    tiff(tmp_path / "film.tif", BANDS, imagej=True, metadata={"axes": "TYX"})
    for name in ("pages.tif", "written.tif", "film.tif"):
        np.testing.assert_array_equal(np.asarray(read_image(tmp_path / name))[..., 0], BANDS[0])


def test_bands_of_several_pictures_are_not_dropped(tmp_path: Path) -> None:
    film = tiff(tmp_path / "film.tif", np.stack([BANDS, BANDS]), imagej=True, metadata={"axes": "TCYX"})
    assert reason(film) == "an array 2 x 5 x 12 x 9 with axes TCYX; store one [C, H, W] a file"
    assert "2 x 5 x 12 x 9" in reason(tiff(tmp_path / "array.tif", np.stack([BANDS, BANDS])))
    stack = np.arange(5 * 12 * 9 * 3, dtype=np.uint16).astype(np.uint8).reshape(5, 12, 9, 3)
    read = read_image(tiff(tmp_path / "stack.tif", stack, photometric="rgb"))
    np.testing.assert_array_equal(np.asarray(read), stack[0])


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "uint32", "int64", "complex64"])
def test_values_of_no_known_range_are_refused_with_what_to_store(tmp_path: Path, kind: str) -> None:
    expected = f"values of type {kind}; use uint8, uint16, or floats in [0, 1]"
    assert reason(tiff(tmp_path / "grey.tif", (GRADIENT // 2).astype(kind))) == expected
    assert reason(tiff(tmp_path / "bands.tif", (BANDS // 2).astype(kind))) == expected
    np.save(tmp_path / "a.npy", (BANDS // 2).astype(kind))
    assert reason(tmp_path / "a.npy") == expected


def test_grey_of_16_bits_in_a_portable_map_is_scaled(tmp_path: Path) -> None:
    """Pillow has it in 32 bits."""
    header, values = b"P5 32 20 65535\n", GRADIENT.astype(">u2") * 257
    (tmp_path / "a.pgm").write_bytes(header + values.astype(">u2").tobytes())
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.pgm"))[..., 0], GRADIENT)


def test_deep_grey_that_counts_from_white_is_not_shown_as_a_negative(tmp_path: Path) -> None:
    deep = tiff(tmp_path / "a.tif", GRADIENT.astype(np.uint16) * 257, photometric="miniswhite")
    assert "0 is white" in reason(deep)
    read = read_image(tiff(tmp_path / "b.tif", GRADIENT, photometric="miniswhite"))
    np.testing.assert_array_equal(np.asarray(read)[..., 0], 255 - GRADIENT)


@pytest.mark.parametrize("name", ["a.tif", "a.npy"])
@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_floats_that_are_nan_or_outside_are_refused(tmp_path: Path, name: str, kind: str) -> None:
    def save(values: np.ndarray) -> Path:
        np.save(tmp_path / name, values) if name == "a.npy" else tiff(tmp_path / name, values)
        return tmp_path / name

    grey = (GRADIENT / 255).astype(kind)
    save(grey)
    assert np.asarray(read_image(tmp_path / name)).shape in ((1, 20, 32), (20, 32, 3))
    assert reason(save(GRADIENT.astype(kind))).startswith("values from 0 to 255, outside [0, 1]; use uint8")
    grey[3, 3] = np.nan
    assert reason(save(grey)) == "it holds NaN or infinity"


def test_grey_of_12_bits_is_not_dark(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", np.full((8, 8), 4095, dtype=np.uint16))
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags["BitsPerSample"].overwrite(12)
    assert reason(path) == "values of 12 bits; use uint8, uint16, or floats in [0, 1]"
