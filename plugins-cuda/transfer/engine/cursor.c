// SPDX-License-Identifier: MIT
#include "transfer/engine/engine.h"

void transfer_cursor_begin(struct transfer_cursor *cursor, const struct ccr_image_chunk *chunks,
			   size_t first)
{
	cursor->chunks = chunks;
	cursor->index = first;
	cursor->done = 0;
}

int transfer_cursor_feed(struct transfer_cursor *cursor, const char *data, uint64_t bytes,
			 transfer_chunk_ended ended, void *argument)
{
	while (bytes) {
		const struct ccr_image_chunk *chunk = &cursor->chunks[cursor->index];
		const uint64_t padded = transfer_round_up(chunk->length);
		uint64_t part = padded - cursor->done;
		int ret;

		if (chunk->is_zero) {
			cursor->index++;
			continue;
		}
		if (!cursor->done)
			ccr_checksum_begin(&cursor->checksum);
		if (part > bytes)
			part = bytes;
		if (cursor->done < chunk->length) {
			const uint64_t left = chunk->length - cursor->done;

			ccr_checksum_update(&cursor->checksum, data, part < left ? part : left);
		}
		cursor->done += part;
		data += part;
		bytes -= part;
		if (cursor->done < padded)
			return 0;
		ret = ended(argument, cursor->index, ccr_checksum_end(&cursor->checksum));
		if (ret)
			return ret;
		cursor->index++;
		cursor->done = 0;
	}
	return 0;
}
