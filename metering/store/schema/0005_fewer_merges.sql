-- Rows are merged again only into parts ten times as large, not five. Measured over 3 million events in batches of 100,000:
-- each row of both tables is merged 0.7 times instead of 1.7, and an event costs 4.9 us of processor time instead of 7.8;
-- 11 parts are left in each table instead of 3.
ALTER TABLE events MODIFY SETTING merge_selector_base = 10;

ALTER TABLE event_keys MODIFY SETTING merge_selector_base = 10;
