#include "tests/unit/unit.h"
#include "oidc/login/qr.h"

/* As another encoder draws them (Python's qrcode, byte mode, level L, mask 0); every length up to the longest has been read by zbar. */
static const char *const short_rows[] = {
	"#######..#.##.#######",
	"#.....#..###..#.....#",
	"#.###.#.##.##.#.###.#",
	"#.###.#..#.#..#.###.#",
	"#.###.#...#.#.#.###.#",
	"#.....#.....#.#.....#",
	"#######.#.#.#.#######",
	"........##.##........",
	"###.########.##...#..",
	"#...#..#.#....###...#",
	".#######.#..##..#.###",
	"..###...#.#.....#..#.",
	"#.###.#.##..#..#.#...",
	"........#..#.#.##..##",
	"#######.#..#.##.#.###",
	"#.....#.#..###.##....",
	"#.###.#.#..#..#..#...",
	"#.###.#..#....#.##.#.",
	"#.###.#.##..#...#.#.#",
	"#.....#.###...#.#..#.",
	"#######.#.#.#.#.##.##",
};
static const char *const address_rows[] = {
	"#######..#..###.#..#.####.#######",
	"#.....#...###.###..##.###.#.....#",
	"#.###.#.###.#####.#.......#.###.#",
	"#.###.#..###.##..###..#...#.###.#",
	"#.###.#...#...#..#.#.###..#.###.#",
	"#.....#..#...#.#..###.###.#.....#",
	"#######.#.#.#.#.#.#.#.#.#.#######",
	"........###.###..##..##.#........",
	"###.#####.##..####...#.####...#..",
	"###..#....##..####..#...####.#..#",
	"#.#...#.##...#..###...#..#.###.##",
	"...#....#..#...#.######..#####.#.",
	"..##.##.....#..###...#..####.#..#",
	"##..#...#..###.##...##..###..##.#",
	"#....##.#.###.#..#......#####..##",
	"#.####.#.#..###.###.##..#..#.#.#.",
	"##....#.####..#.##.#.#.####....##",
	"#......#.###..####...#....#...#.#",
	".##..###.#...#.......##....#.#.##",
	".##..#..#.##...###.#######...#.#.",
	".##...#.....#..###..###.####...##",
	".###.#..#..###...#..#...###...#.#",
	"#.#...#######.#.#....#..#.####.##",
	".#..##..##..###.###..####......#.",
	"#.###.####.#..#.###.##.######....",
	"........#.##..###.#.##.##...#..##",
	"#######.##...#..#......##.#.##.##",
	"#.....#.####...#####.#..#...#...#",
	"#.###.#.#.#.#...#..###..#####....",
	"#.###.#....###.###..##.#...###..#",
	"#.###.#.#..##.#..##.#...#..####.#",
	"#.....#.#...###..#..###.#.##...#.",
	"#######.##.#..#.#....#.#######.##",
};

static void
drawn_as(const char *text, const char *const *rows, size_t n)
{
	struct qr q;

	assert_int_equal(qr_encode(slice_str(text), &q), OK);
	assert_int_equal(q.size, n);
	for (size_t row = 0; row < n; row++)
		for (size_t column = 0; column < n; column++)
			if (q.dark[row][column] != (rows[row][column] == '#'))
				fail_msg("%s: row %zu, column %zu", text, row, column);
}

static void
a_code_is_drawn_as_another_encoder_draws_it(void **state)
{
	(void)state;
	drawn_as("https://a", short_rows, sizeof short_rows / sizeof short_rows[0]);
	drawn_as("https://gateway.example.com/oidc/device?user_code=BCDF-GHJK", address_rows, sizeof address_rows / sizeof address_rows[0]);
}

static void
each_length_takes_the_smallest_version_until_none_is_left(void **state)
{
	(void)state;
	static const struct {
		size_t n, size;
	} rows[] = { { 0, 21 }, { 17, 21 }, { 18, 25 }, { 32, 25 }, { 33, 29 }, { 53, 29 }, { 54, 33 }, { 78, 33 }, { 79, 37 }, { QR_BYTES_MAX, QR_SIZE_MAX } };
	char text[QR_BYTES_MAX + 1];
	struct qr q;

	memset(text, 'x', sizeof text);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		assert_int_equal(qr_encode(slice_of(text, rows[i].n), &q), OK);
		assert_int_equal(q.size, rows[i].size);
	}
	assert_int_equal(qr_encode(slice_of(text, QR_BYTES_MAX + 1), &q), E_LIMIT);
}

static void
it_is_printed_in_half_blocks_with_a_quiet_zone(void **state)
{
	(void)state;
	struct qr q;
	struct buf out;
	size_t lines = 0, cells = 0;

	assert_int_equal(qr_encode(SLICE_LIT("https://a"), &q), OK);
	buf_init(&out, 0);
	qr_print(&q, &out);
	struct slice rest = buf_slice(&out);
	while (rest.n) {
		struct slice line = slice_cut(&rest, '\n');
		assert_true(slice_has_prefix(line, SLICE_LIT("  \033[30;107m")) && slice_has_suffix(line, SLICE_LIT("\033[0m")));
		lines++;
		for (size_t i = 0; i < line.n; i++)
			cells += ((unsigned char)line.p[i] & 0xc0) != 0x80; /* characters, not bytes */
	}
	assert_int_equal(lines, (21 + 8 + 1) / 2);
	assert_int_equal(cells, lines * (21 + 8 + 2 + 9 + 4));
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_code_is_drawn_as_another_encoder_draws_it),
		cmocka_unit_test(each_length_takes_the_smallest_version_until_none_is_left),
		cmocka_unit_test(it_is_printed_in_half_blocks_with_a_quiet_zone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
