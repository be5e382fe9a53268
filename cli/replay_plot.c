// SPDX-License-Identifier: MIT
/*
 * Miss-ratio curves in the terminal and as SVG; see replay.h. Memory sizes are on a logarithmic
 * scale, one letter or colour for each policy.
 */
#include <math.h>
#include <string.h>

#include "replay.h"

#define PLOT_COLUMNS 64
#define PLOT_ROWS    16

#define SVG_WIDTH  720
#define SVG_HEIGHT 400
#define SVG_LEFT   60
#define SVG_TOP    20
#define SVG_INNER  480 /* width of the plot; the legend is at its right */

static const char marks[] = "abcdefghijklmnopqrstuvwxyzABCDEF";
static const char *const colours[] = {"#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd",
    "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf", "#000000", "#aec7e8"};

_Static_assert(sizeof(marks) > REPLAY_MAX_POLICIES, "a mark for each policy");

/* 0 .. 1 of the width. */
static double place(const struct replay_results *r, uint32_t frames)
{
	double first = log(r->result[0].frames), last = first;

	for (uint32_t i = 0; i < r->nr_points; i++) {
		first = fmin(first, log(r->result[i].frames));
		last = fmax(last, log(r->result[i].frames));
	}
	return last > first ? (log(frames) - first) / (last - first) : 0;
}

static void draw(
    const struct replay_results *r, uint32_t policy, char grid[PLOT_ROWS + 1][PLOT_COLUMNS + 1])
{
	for (uint32_t i = 0; i < r->nr_points; i++) {
		const struct replay_result *at = replay_at(r, policy, i);
		int column = (int)(place(r, at->frames) * (PLOT_COLUMNS - 1) + 0.5);
		int row = (int)((1 - miss_ratio(&at->counts)) * PLOT_ROWS + 0.5);
		char *cell = &grid[row][column];

		*cell = *cell == ' ' ? marks[policy] : *cell == marks[policy] ? *cell : '*';
	}
}

void replay_print_plot(FILE *f, const struct replay_results *r)
{
	char grid[PLOT_ROWS + 1][PLOT_COLUMNS + 1];
	uint32_t smallest = UINT32_MAX, largest = 0;

	memset(grid, ' ', sizeof(grid));
	for (uint32_t p = 0; p < r->nr_policies; p++)
		draw(r, p, grid);
	for (uint32_t i = 0; i < r->nr_points; i++) {
		smallest = MIN(smallest, r->result[i].frames);
		largest = MAX(largest, r->result[i].frames);
	}
	for (int row = 0; row <= PLOT_ROWS; row++) {
		int end = PLOT_COLUMNS;

		while (end && grid[row][end - 1] == ' ')
			end--;
		if (row % 4 == 0)
			fprintf(f, "%5.2f |%.*s\n", 1 - (double)row / PLOT_ROWS, end, grid[row]);
		else
			fprintf(f, "      |%.*s\n", end, grid[row]);
	}
	fputs("      +", f);
	for (int i = 0; i < PLOT_COLUMNS; i++)
		fputc('-', f);
	fprintf(f, "\n       %-10u miss ratio by frames, logarithmic %*u\n      ", smallest,
	    PLOT_COLUMNS - 47, largest);
	for (uint32_t p = 0; p < r->nr_policies; p++)
		fprintf(f, " %c %s%s", marks[p], sim_policy_name(replay_at(r, p, 0)->policy),
		    p + 1 < r->nr_policies ? "," : "");
	fputs(r->nr_policies > 1 ? "; * several\n\n" : "\n\n", f);
}

static double svg_x(const struct replay_results *r, uint32_t frames)
{
	return SVG_LEFT + place(r, frames) * SVG_INNER;
}

static double svg_y(double ratio)
{
	return SVG_TOP + (1 - ratio) * (SVG_HEIGHT - 2 * SVG_TOP - 30);
}

static void svg_axes(FILE *f, const struct replay_results *r)
{
	for (int i = 0; i <= 4; i++)
		fprintf(f,
		    "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n"
		    "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.2f</text>\n",
		    SVG_LEFT, SVG_LEFT + SVG_INNER, svg_y(i / 4.0), svg_y(i / 4.0), SVG_LEFT - 6,
		    svg_y(i / 4.0) + 4, i / 4.0);
	for (uint32_t i = 0; i < r->nr_points; i += MAX(r->nr_points / 6, 1u))
		fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%u</text>\n",
		    svg_x(r, r->result[i].frames), svg_y(0) + 18, r->result[i].frames);
	fprintf(f, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"middle\">frames</text>\n",
	    SVG_LEFT + SVG_INNER / 2, svg_y(0) + 36);
}

void replay_print_svg(FILE *f, const struct replay_results *r)
{
	fprintf(f,
	    "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
	    "font-family=\"sans-serif\" font-size=\"12\">\n"
	    "<title>Miss ratio by memory size</title>\n"
	    "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
	    SVG_WIDTH, SVG_HEIGHT);
	svg_axes(f, r);
	for (uint32_t p = 0; p < r->nr_policies; p++) {
		const char *colour = colours[p % ARRAY_LEN(colours)];

		fprintf(f, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\"%s points=\"",
		    colour, p >= ARRAY_LEN(colours) ? " stroke-dasharray=\"5 3\"" : "");
		for (uint32_t i = 0; i < r->nr_points; i++) {
			const struct replay_result *at = replay_at(r, p, i);

			fprintf(
			    f, "%.1f,%.1f ", svg_x(r, at->frames), svg_y(miss_ratio(&at->counts)));
		}
		fprintf(f, "\"/>\n<text x=\"%d\" y=\"%u\" fill=\"%s\">%s</text>\n",
		    SVG_LEFT + SVG_INNER + 12, SVG_TOP + 12 + p * 16, colour,
		    sim_policy_name(replay_at(r, p, 0)->policy));
	}
	fputs("</svg>\n", f);
}
