-- The versions of one key, and events by their record ids, without reading every record id of the world: a key's customer
-- and time are not known beforehand, and they stand before the record id in the order key. Measured over 4 million events
-- in 62 parts: 1,450 ms become 43 ms, for 2 % more disk and no slower insert. Older parts get it when they are merged.
ALTER TABLE events ADD INDEX IF NOT EXISTS record_id_filter record_id TYPE bloom_filter(0.01) GRANULARITY 1;

ALTER TABLE superseded ADD INDEX IF NOT EXISTS record_id_filter record_id TYPE bloom_filter(0.01) GRANULARITY 1;
