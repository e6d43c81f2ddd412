import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { LoaderCircle, RotateCw } from "lucide-react";
import { useEffect } from "react";

import { client, data } from "../../api/client";
import { words } from "../../api/errors";
import { site as siteQuery } from "../../api/queries";
import type { Site } from "../../api/types";
import { countdown } from "../../lib/format";
import { useNow } from "../../lib/hooks";
import { text } from "../../text";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { CopyField } from "../../ui/field";
import { Notice, Skeleton } from "../../ui/notice";

/** Makes an enrolment code and waits until the agent that used it appears. */
export function EnrolDialog({ site, onClose }: { site: Site; onClose: () => void }) {
  const queries = useQueryClient();
  const now = useNow(1000);
  const { mutate, ...made } = useMutation({
    mutationFn: () => data(client.POST("/sites/{site}/codes", { params: { path: { site: site.id } } })),
  });
  useEffect(() => mutate(), [mutate]);
  const code = made.data;

  const state = useQuery({
    queryKey: ["code", site.id, code?.id],
    queryFn: () => data(client.GET("/sites/{site}/codes/{code}", { params: { path: { site: site.id, code: code?.id ?? "" } } })),
    enabled: code !== undefined,
    refetchInterval: (query) => (query.state.data?.state === "used" ? false : 2000),
  });
  const used = state.data?.state === "used";
  useEffect(() => {
    if (used) void queries.invalidateQueries({ queryKey: ["site", site.id] });
  }, [used, queries, site.id]);
  const after = useQuery({ ...siteQuery(site.id), enabled: used, refetchInterval: 2000 });
  const expired = !used && (state.data?.state === "expired" || (code !== undefined && now >= code.expires_us));
  const host = after.data?.agent?.connected ? after.data.agent.host : "";

  return (
    <Dialog title={text.enrol.title} open onClose={onClose} wide data-testid="enrol-dialog">
      <div className="dialog-body">
        {used ? (
          <Notice tone="ok" title={text.enrol.done}>{host ? text.enrol.doneText(host) : text.enrol.doneSoon}</Notice>
        ) : (
          <>
            <p className="soft">{text.enrol.lead}{site.agent && ` ${text.enrol.replaceHint}`}</p>
            {made.isError && <Notice tone="bad" title={text.enrol.failed} action={<Button small onPress={() => mutate()}>{text.actions.tryAgain}</Button>}>{words(made.error)}</Notice>}
            {made.isPending && <Skeleton lines={2} height={72} />}
            {code && (
              <>
                <div className="enrol-code" role="img" aria-label={`${text.enrol.codeLabel} ${code.code}`} data-expired={expired || undefined} data-testid="enrol-code" data-code={code.code}>
                  {code.code.split("-").map((group, at) => <span key={at}>{group}</span>)}
                </div>
                <div className="enrol-state" role="status">
                  {expired ? <span>{text.enrol.expired}</span> : <><LoaderCircle size={16} className="btn-spin" aria-hidden /><span>{text.enrol.waiting}</span></>}
                  {!expired && <span className="num" aria-live="off">{text.enrol.expires(countdown(code.expires_us - now))}</span>}
                  {expired && <Button small icon={<RotateCw size={15} aria-hidden />} onPress={() => mutate()}>{text.enrol.again}</Button>}
                </div>
                {!expired && (
                  <>
                    <CopyField label={text.enrol.linux} value={code.commands.linux} multiline />
                    <CopyField label={text.enrol.windows} value={code.commands.windows} multiline />
                  </>
                )}
              </>
            )}
          </>
        )}
      </div>
      <footer className="dialog-foot"><Button look={used ? "primary" : "plain"} onPress={onClose}>{used ? text.actions.done : text.actions.close}</Button></footer>
    </Dialog>
  );
}
