import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Clapperboard, Coins, Gauge, HardDriveUpload } from "lucide-react";
import { type ReactNode, useEffect, useState } from "react";

import { words } from "../api/errors";
import { rulePreview } from "../api/queries";
import type { RulePreview as Preview, RuleRequest } from "../api/types";
import { bitrate, bytes, duration, percent } from "../lib/format";
import { HOUR } from "../lib/time";
import { text } from "../text";
import { TextField } from "../ui/field";
import { Notice, Skeleton } from "../ui/notice";
import { keepWords } from "./KeepFor";

/** A sum of money, with as many digits as say something. */
export function money(value: number, currency: string): string {
  const digits = value >= 100 ? 0 : value >= 0.1 || value === 0 ? 2 : 4;
  try {
    return new Intl.NumberFormat("en-GB", { style: "currency", currency, minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
  } catch {
    return `${value.toFixed(digits)} ${currency}`;
  }
}

/** Waits until somebody has stopped typing. */
function useSettled<T>(value: T, key: string): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), 400);
    return () => clearTimeout(timer);
    // The key says when the value is another one.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [key]);
  return settled;
}

/** What a rule would have sent in the last 30 days; undefined: it is not filled in yet. */
export function RulePreview({ rule }: { rule: RuleRequest | undefined }) {
  const [line, setLine] = useState("");
  const typed = Number(line.replace(",", "."));
  const bad = line.trim() !== "" && !(typed > 0);
  const asked = { rule, kbps: bad || line.trim() === "" ? 0 : Math.round(typed * 1000) };
  const settled = useSettled(asked, JSON.stringify(asked));
  const preview = useQuery({
    ...rulePreview(settled.rule ?? { name: "", event_kind: "", pre_s: 0, post_s: 0, stream: "main", priority: "normal", enabled: true }, settled.kbps),
    enabled: settled.rule !== undefined, placeholderData: keepPreviousData,
  });
  return (
    <section className="preview" aria-labelledby="preview-title" data-testid="rule-preview" data-fresh={preview.isSuccess && !preview.isFetching}>
      <header>
        <h3 id="preview-title">{text.rules.preview}</h3>
        <p className="small muted">{text.rules.previewLead}</p>
      </header>
      {!settled.rule ? <p className="soft">{text.rules.previewWait}</p>
        : preview.isError ? <Notice tone="bad" title={text.rules.previewFailed}>{words(preview.error)}</Notice>
        : !preview.data ? <Skeleton lines={4} height={40} />
        : preview.data.events === 0 ? <p className="soft">{text.rules.previewNone}</p>
        : <Figures preview={preview.data} />}
      <TextField label={text.rules.line} hint={text.rules.lineHint} value={line} onChange={setLine} inputMode="decimal" data-testid="preview-line" {...(bad ? { fault: text.rules.lineBad } : {})} />
    </section>
  );
}

function Figures({ preview }: { preview: Preview }) {
  const busiest = [...preview.sites].sort((a, b) => b.line_hours - a.line_hours)[0];
  const others = preview.sites.length - 1;
  const share = busiest ? (busiest.line_hours * HOUR) / (preview.to_us - preview.from_us) : 0;
  return (
    <>
      <dl className="preview-figures" aria-live="polite">
        <Figure icon={<Clapperboard size={17} aria-hidden />} label={text.rules.kind} value={text.rules.previewEvents(preview.events, preview.clips)} note={text.rules.previewLength(duration(preview.length_us))} />
        <Figure icon={<HardDriveUpload size={17} aria-hidden />} label={text.rules.previewData} value={bytes(preview.bytes)} note={preview.sites.some((site) => site.guessed) ? text.rules.previewGuessed : undefined} />
        {busiest && <Figure icon={<Gauge size={17} aria-hidden />} label={text.rules.previewLine} bad={share > 0.5}
          value={text.rules.previewLineHours(duration(busiest.line_hours * HOUR), busiest.name)}
          note={<>{text.rules.previewLineShare(percent(share), bitrate(busiest.line_kbps), text.rules.lineSources[busiest.line_source] ?? "")}{others > 0 && <>; {text.rules.previewSites(others)}</>}</>} />}
        <Figure icon={<Coins size={17} aria-hidden />} label={text.rules.previewCost} value={text.rules.previewCostMonth(money(preview.cost, preview.currency))}
          note={preview.keep_days > 0 ? text.rules.previewCostDays(bytes(preview.kept_bytes), keepWords(preview.keep_days)) : text.rules.previewCostEver(bytes(preview.kept_bytes))} />
      </dl>
    </>
  );
}

function Figure({ icon, label, value, note, bad }: { icon: ReactNode; label: string; value: string; note?: ReactNode; bad?: boolean }) {
  return (
    <div className="preview-figure" data-tone={bad ? "bad" : undefined}>
      <dt>{icon}<span>{label}</span></dt>
      <dd className="num"><span className="strong">{value}</span>{note && <span className="fact-note">{note}</span>}</dd>
    </div>
  );
}
