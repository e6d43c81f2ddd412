import { CircleAlert, Info, TriangleAlert, Unplug } from "lucide-react";
import { Link } from "@tanstack/react-router";

import type { Site } from "../../api/types";
import { ageSpan } from "../../lib/format";
import { useNow } from "../../lib/hooks";
import { fullMoment, moment } from "../../lib/time";
import { text } from "../../text";
import { Panel } from "../../ui/page";

/** Why a site is dark: since when, what is known, what the agent said last. */
export function VerdictPanel({ site, verdict }: { site: Site; verdict: NonNullable<Site["verdict"]> }) {
  const now = useNow(5000);
  return (
    <section className="verdict" data-testid="verdict" aria-label={text.site.verdict}>
      <div className="verdict-head">
        <Unplug size={22} aria-hidden />
        <div>
          <h2>{verdict.text || text.site.verdict}</h2>
          <p className="soft num" title={fullMoment(verdict.since_us, site.timezone)}>{text.site.verdictSince(moment(verdict.since_us, site.timezone), ageSpan(now - verdict.since_us))}</p>
        </div>
      </div>
      {verdict.last_report.length > 0 && (
        <div className="verdict-report">
          <h3>{text.site.lastReport}</h3>
          <ul>{verdict.last_report.map((line) => <li key={line}>{line}</li>)}</ul>
        </div>
      )}
    </section>
  );
}

const icons = { critical: CircleAlert, warning: TriangleAlert, info: Info };

/** Everything that is wrong at a site, each with what to do. */
export function MissingPanel({ site }: { site: Site }) {
  return (
    <Panel title={text.site.missing} data-testid="missing">
      <ul className="missing-list">
        {site.missing.map((missing) => {
          const Icon = icons[missing.severity];
          return (
            <li key={`${missing.camera}${missing.text}`} className="missing-item" data-severity={missing.severity}>
              <Icon size={16} aria-hidden />
              {missing.camera ? <Link className="link" to="/cameras/$camera" params={{ camera: missing.camera }}>{missing.text}</Link> : <span>{missing.text}</span>}
            </li>
          );
        })}
      </ul>
    </Panel>
  );
}
