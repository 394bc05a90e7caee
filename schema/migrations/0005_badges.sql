-- 0005_badges: when the first of what is counted as unread ends.
-- Locks: user_head, exclusively, for a moment; nothing is rewritten.
-- Brokers of the previous release refuse this version: stop them, apply, start the new ones.

-- The earliest end of a message in the person's unread counts; null when nothing is counted. Where it is over the counts
-- are too high, and are made again from the inbox before they are shown. Those of before are looked at once.
ALTER TABLE user_head ADD COLUMN counted_until timestamptz DEFAULT now();
ALTER TABLE user_head ALTER COLUMN counted_until DROP DEFAULT;
