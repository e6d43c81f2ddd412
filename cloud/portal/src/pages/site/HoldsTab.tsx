import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { LockKeyhole } from "lucide-react";
import { useState } from "react";

import { useCan } from "../../api/can";
import { client } from "../../api/client";
import { holds as holdsQuery } from "../../api/queries";
import type { Hold, Site } from "../../api/types";
import { bytes, duration } from "../../lib/format";
import { clockSeconds, dayWord, moment } from "../../lib/time";
import { text } from "../../text";
import { HoldBadge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { Confirm, FormDialog } from "../../ui/dialog";
import { Empty, Failure, Skeleton } from "../../ui/notice";
import { Panel } from "../../ui/page";
import { say } from "../../ui/toast";

/** The ranges that nothing at a site deletes: what they keep, who made them, what became of them. */
export function HoldsTab({ site }: { site: Site }) {
  const { data, error, isPending, refetch } = useQuery(holdsQuery(site.id));
  if (isPending) return <Skeleton lines={3} height={64} />;
  if (!data) return <Failure what={text.hold.failed} error={error} onRetry={() => void refetch()} />;
  if (data.length === 0) return <Empty icon={LockKeyhole} title={text.hold.emptyTitle}><p>{text.hold.empty}</p></Empty>;
  const kept = data.reduce((sum, hold) => sum + hold.bytes, 0);
  return (
    <Panel title={text.hold.list} flush data-testid="holds" aside={<span className="soft num">{text.hold.summary(data.length, bytes(kept))}</span>}>
      <ul className="rows">{data.map((hold) => <li key={hold.id}><HoldRow hold={hold} zone={site.timezone} /></li>)}</ul>
    </Panel>
  );
}

/** From and to, to the second; the day of the end only where it is another one. */
function rangeWords({ start_us: start, end_us: end }: Hold, zone: string): string {
  const [first, last] = [dayWord(start, zone), dayWord(end, zone)];
  return `${first} ${clockSeconds(start, zone)} – ${first === last ? "" : `${last} `}${clockSeconds(end, zone)}`;
}

function HoldRow({ hold, zone }: { hold: Hold; zone: string }) {
  const can = useCan();
  const queries = useQueryClient();
  const [asking, setAsking] = useState<"release" | "agree">();
  const close = () => setAsking(undefined);
  const done = async (words: string) => {
    await queries.invalidateQueries({ queryKey: ["holds", hold.site] });
    say(words);
  };
  const release = async () => {
    await client.DELETE("/holds/{hold}", { params: { path: { hold: hold.id } } });
    await done(text.hold.released);
  };
  const agree = async () => {
    await client.PATCH("/holds/{hold}", { params: { path: { hold: hold.id } }, body: { over: true } });
    await done(text.hold.agreed);
  };
  const mine = can("holds.edit") && hold.made_at === "portal";
  const made = hold.by ? text.hold.by(hold.by, hold.created_us ? moment(hold.created_us, zone) : "") : "";
  return (
    <div className="row hold-row" data-testid="hold-row" data-state={hold.state}>
      <div className="row-main">
        <p className="row-title">{hold.name}</p>
        <p className="soft num">
          <Link className="link" to="/cameras/$camera" params={{ camera: hold.camera }} search={{ at: hold.start_us }}>{hold.camera_name || hold.camera}</Link>
          {`, ${rangeWords(hold, zone)} (${duration(hold.end_us - hold.start_us)})`}
        </p>
        <p className="muted small">{[made, hold.until_us ? text.hold.untilWhen(moment(hold.until_us, zone)) : "", hold.made_at === "site" ? text.hold.atSite : ""].filter(Boolean).join(", ")}</p>
        {hold.text && <p className="small soft">{hold.text}</p>}
      </div>
      <div className="row-side hold-side">
        <span className="hold-state"><HoldBadge state={hold.state} />{hold.bytes > 0 && <span className="num soft nowrap">{bytes(hold.bytes)}</span>}</span>
        {mine && hold.state === "refused" && <Button small look="primary" onPress={() => setAsking("agree")} data-testid="agree-hold">{text.hold.agree}</Button>}
        {mine && <Button small onPress={() => setAsking("release")} data-testid="release-hold">{text.hold.release}</Button>}
      </div>
      {asking === "release" && <Confirm title={text.hold.releaseTitle(hold.name)} open onClose={close} submit={text.hold.release} onSubmit={release}><p>{text.hold.releaseText}</p></Confirm>}
      {asking === "agree" && <FormDialog title={text.hold.agreeTitle} open onClose={close} submit={text.hold.agree} onSubmit={agree}><p className="dialog-text">{text.hold.agreeText}</p></FormDialog>}
    </div>
  );
}
