import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Link2, Link2Off, ScrollText } from "lucide-react";

import { audit as auditQuery, people as peopleQuery, sites as sitesQuery } from "../api/queries";
import { clockSeconds, dayWord, fullMoment, hereZone } from "../lib/time";
import { text } from "../text";
import { Badge } from "../ui/badge";
import { Button } from "../ui/button";
import { SelectField } from "../ui/field";
import { Empty, Failure, Notice, Skeleton } from "../ui/notice";
import { Page } from "../ui/page";

/** Who saw and did what, and whether the chain of rows holds. */
export default function AuditPage() {
  const { person } = useSearch({ from: "/inside/audit" });
  const navigate = useNavigate({ from: "/audit" });
  const query = useInfiniteQuery(auditQuery(person));
  const people = useQuery(peopleQuery());
  const sites = useQuery(sitesQuery());
  const rows = query.data?.pages.flatMap((page) => page.rows) ?? [];
  const chain = query.data?.pages[0]?.chain;
  const siteName = (id: string | undefined) => (id ? (sites.data?.find((site) => site.id === id)?.name ?? "") : "");
  return (
    <Page title={text.audit.title} lead={text.audit.lead} badge={chain && (chain === "ok" ? <Badge tone="ok" icon={Link2} data-testid="audit-chain">{text.audit.chainOk}</Badge> : <Badge tone="bad" icon={Link2Off} data-testid="audit-chain">{text.audit.chainBroken}</Badge>)}>
      {chain && chain !== "ok" && <Notice tone="bad" title={text.audit.chainBroken}>{chain}</Notice>}
      <div className="filters">
        <SelectField bare label={text.audit.person} value={person ?? ""} onChange={(next) => void navigate({ search: next ? { person: next } : {}, replace: true })}
          options={[{ value: "", label: text.audit.anyone }, ...(people.data ?? []).map((known) => ({ value: known.id, label: known.name }))]} />
      </div>
      {query.isPending ? <Skeleton lines={8} height={36} gap={8} />
        : !query.data ? <Failure what={text.audit.failed} error={query.error} onRetry={() => void query.refetch()} />
        : rows.length === 0 ? <Empty icon={ScrollText} title={text.audit.emptyTitle}><p>{text.audit.empty}</p></Empty>
        : (
          <div className="panel panel-flush table-wrap">
            <table className="table audit-table">
              <thead><tr><th scope="col">{text.audit.when}</th><th scope="col">{text.audit.person}</th><th scope="col">{text.audit.action}</th><th scope="col">{text.audit.detail}</th><th scope="col">{text.audit.site}</th><th scope="col">{text.audit.address}</th></tr></thead>
              <tbody>
                {rows.map((row) => (
                  <tr key={row.seq} data-testid="audit-row">
                    <td className="num nowrap" title={fullMoment(row.at_us, hereZone)}>{dayWord(row.at_us, hereZone)} {clockSeconds(row.at_us, hereZone)}</td>
                    <td className="nowrap">{row.person_name || <span className="muted">{text.audit.nobody}</span>}</td>
                    <td className="strong" title={row.target}>{text.audit.deeds[row.action] ?? row.action.replaceAll("_", " ")}</td>
                    <td className="soft">{row.detail}</td>
                    <td className="nowrap">{siteName(row.site)}</td>
                    <td className="muted num">{row.ip}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      {query.hasNextPage && <Button busy={query.isFetchingNextPage} onPress={() => void query.fetchNextPage()}>{text.actions.moreRows}</Button>}
    </Page>
  );
}
