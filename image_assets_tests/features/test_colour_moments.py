import numpy as np

from image_assets.features.colour_moments import ColourMoments


def test_the_moments_of_a_hand_made_cell_are_in_place() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[2:4, 6:8, 1] = [[0, 0], [0, 255]]  # grid row 1, grid column 3, green: one of four pixels full
    moments = ColourMoments().embed(image[np.newaxis]).reshape(4, 4, 3, 3)
    third = 0.25 * 0.75**3 + 0.75 * (-0.25) ** 3
    np.testing.assert_allclose(moments[1, 3, 1], [0.25, 0.1875**0.5, third ** (1 / 3)], rtol=1e-6)
    moments[1, 3, 1] = 0
    assert not moments.any()


def test_a_plain_image_has_no_spread_and_no_skew_at_all() -> None:
    moments = ColourMoments().embed(np.full((1, 7, 5, 3), 77, np.uint8)).reshape(16, 3, 3)
    np.testing.assert_array_equal(moments[..., 1:], 0)
    np.testing.assert_array_equal(moments[..., 0], np.float32(77 / 255))


def test_a_dark_tail_gives_negative_skew() -> None:
    image = np.full((1, 4 * 3, 4 * 3, 3), 200, np.uint8)
    image[0, ::3, ::3] = 0
    assert (ColourMoments().embed(image).reshape(-1, 3)[:, 2] < -0.1).all()


def test_moments_match_floating_point_statistics_of_each_cell() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8)
    moments = ColourMoments().embed(image[np.newaxis]).reshape(4, 4, 3, 3)
    for row, column in np.ndindex(4, 4):
        cell = image[row * 30 // 4 : (row + 1) * 30 // 4, column * 41 // 4 : (column + 1) * 41 // 4] / 255
        mean = cell.mean((0, 1))
        expected = np.stack([mean, cell.std((0, 1)), np.cbrt(((cell - mean) ** 3).mean((0, 1)))], axis=-1)
        np.testing.assert_allclose(moments[row, column], expected, atol=1e-5)


def test_a_single_pixel_fills_every_cell() -> None:
    moments = ColourMoments().embed(np.full((1, 1, 1, 3), 51, np.uint8)).reshape(16, 3, 3)
    np.testing.assert_array_equal(moments[..., 0], np.float32(0.2))
