"""The triggers on the table of evaluations, as templates: they refuse what would contradict a cancellation.

They run with the rights of their owner, so that nobody who updates evaluations needs a right on our schema. Words that
no setting maps pass, unless a cancellation is open or the status was final.
"""

from __future__ import annotations

from typing import Final

GUARD_NAMES: Final = ("zzz_evaluation_cancel_guard", "zzz_evaluation_cancel_guard_delete")

GUARDS: Final = [
    """
    CREATE OR REPLACE FUNCTION evaluation_cancel.guard_update() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE was text; becomes text; fence uuid; word_was text; word text;
    BEGIN
        word_was := OLD.{status}::text;
        word := NEW.{status}::text;
        was := evaluation_cancel.status_of(word_was);
        becomes := evaluation_cancel.status_of(word);
        IF was = becomes THEN RETURN NEW; END IF;
        IF was IN ('succeeded', 'failed', 'cancelled') THEN
            RAISE EXCEPTION USING ERRCODE = 'EC001', MESSAGE = format(
                'evaluation %s is %s, which is final; it cannot become %s', OLD.{id}, word_was, word),
                HINT = 'A word that means the same may be added to it in the setting EVALUATIONS_TABLE.';
        END IF;
        IF becomes = 'cancelled' THEN
            IF EXISTS (SELECT FROM evaluation_cancel.cancellations c
                       WHERE c.evaluation_id = OLD.{id} AND c.phase = 'cancelled' AND c.ended_at IS NOT NULL) THEN
                RETURN NEW;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'EC003', MESSAGE = format(
                'evaluation %s becomes %s only when a cancellation of it has ended; send CancelEvaluation',
                OLD.{id}, word);
        END IF;
        SELECT c.id INTO fence FROM evaluation_cancel.cancellations c
            WHERE c.evaluation_id = OLD.{id} AND c.ended_at IS NULL;
        IF FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'EC002', MESSAGE = format(
                'evaluation %s is being cancelled by %s; it cannot become %s now, use evaluation_cancel.report()',
                OLD.{id}, fence, word);
        END IF;
        IF 'unknown' IN (was, becomes) THEN RETURN NEW; END IF;
        IF array_position(ARRAY['created', 'starting', 'running', 'succeeded'], replace(becomes, 'failed', 'succeeded'))
           > array_position(ARRAY['created', 'starting', 'running'], was) THEN RETURN NEW; END IF;
        RAISE EXCEPTION USING ERRCODE = 'EC004', MESSAGE = format(
            'evaluation %s is %s; it cannot go back to %s', OLD.{id}, word_was, word);
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION evaluation_cancel.guard_delete() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        IF EXISTS (SELECT FROM evaluation_cancel.cancellations c
                   WHERE c.evaluation_id = OLD.{id} AND c.ended_at IS NULL) THEN
            RAISE EXCEPTION USING ERRCODE = 'EC002', MESSAGE = format(
                'evaluation %s is being cancelled; its row is needed until that has ended', OLD.{id});
        END IF;
        RETURN OLD;
    END $$
    """,
    # The name sorts last, and there is no column list: a status set by another trigger is checked too.
    """
    CREATE OR REPLACE TRIGGER zzz_evaluation_cancel_guard BEFORE UPDATE ON {t}
        FOR EACH ROW WHEN (OLD.{status} IS DISTINCT FROM NEW.{status}) EXECUTE FUNCTION evaluation_cancel.guard_update()
    """,
    """
    CREATE OR REPLACE TRIGGER zzz_evaluation_cancel_guard_delete BEFORE DELETE ON {t}
        FOR EACH ROW EXECUTE FUNCTION evaluation_cancel.guard_delete()
    """,
]

# A table that was mapped before keeps no guard.
UNGUARD_OTHERS: Final = """
DO $unguard$
DECLARE other record;
BEGIN
    FOR other IN
        SELECT t.tgname, t.tgrelid::regclass AS guarded FROM pg_trigger t
        WHERE t.tgname IN ('zzz_evaluation_cancel_guard', 'zzz_evaluation_cancel_guard_delete')
            AND t.tgparentid = 0 AND t.tgrelid <> '{t}'::regclass
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', other.tgname, other.guarded);
    END LOOP;
END $unguard$
"""
