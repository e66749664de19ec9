/*
 * Items: records to be. Most have room for their payload from the beginning; for those that say
 * where other things are it is made when that is known.
 */
#include "spool/spool-internal.h"

#include <stdlib.h>

struct spool_item *spool_item_new(enum spool_item_kind kind, uint64_t id, size_t payload_size)
{
    struct spool_item *item = spool_memory(sizeof(*item));
    list_init(&item->node);
    item->kind = kind;
    item->id = id;
    item->payload_size = (uint32_t)payload_size;
    item->slot = SPOOL_NO_SLOT;
    if (kind == SPOOL_ITEM_BODY || kind == SPOOL_ITEM_COPY_BODY) {
        item->block = spool_memory(SPOOL_RECORD_HEADER);
    } else if (kind != SPOOL_ITEM_COMMIT && kind != SPOOL_ITEM_COPY_MESSAGE &&
               kind != SPOOL_ITEM_COPY_EXTENTS) {
        item->block = spool_memory(spool_record_bytes(payload_size));
    }
    return item;
}

void spool_item_free(struct spool *spool, struct spool_item *item)
{
    list_remove(&item->node);
    if (item->message != NULL) {
        spool_message_unref(spool, item->message);
    }
    free(item->block);
    free(item->owned_content);
    free(item);
}

uint8_t *spool_item_payload(struct spool_item *item)
{
    return item->block + SPOOL_RECORD_HEADER;
}
