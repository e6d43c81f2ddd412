import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { useState } from "react";

import { client } from "../../api/client";
import { players as playersQuery } from "../../api/queries";
import type { Player, PlayerMade, Site } from "../../api/types";
import { age } from "../../lib/format";
import { useNow } from "../../lib/hooks";
import { moment } from "../../lib/time";
import { text } from "../../text";
import { PlayerBadge } from "../../ui/badge";
import { Button } from "../../ui/button";
import { Confirm } from "../../ui/dialog";
import { Failure, Skeleton } from "../../ui/notice";
import { Panel } from "../../ui/page";
import { say } from "../../ui/toast";
import { PlayerDialog, TokenDialog } from "./PlayerDialog";

/** Programs outside the portal that may show this site's cameras live, each by a token. */
export function PlayersPanel({ site }: { site: Site }) {
  const { data, error, isPending, refetch } = useQuery(playersQuery(site.id));
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<PlayerMade>();
  return (
    <Panel title={text.players.title} flush data-testid="players" aside={<Button small icon={<Plus size={15} aria-hidden />} onPress={() => setMaking(true)} data-testid="add-player">{text.players.add}</Button>}>
      <p className="soft players-lead">{text.players.lead}</p>
      {isPending ? <div className="players-wait"><Skeleton lines={2} height={44} /></div>
        : !data ? <div className="players-wait"><Failure what={text.players.failed} error={error} onRetry={() => void refetch()} /></div>
        : <ul className="rows">{data.map((player) => <li key={player.id}><PlayerRow player={player} zone={site.timezone} /></li>)}</ul>}
      {making && <PlayerDialog site={site} onClose={() => setMaking(false)} onMade={setMade} />}
      {made && <TokenDialog made={made} onClose={() => setMade(undefined)} />}
    </Panel>
  );
}

function PlayerRow({ player, zone }: { player: Player; zone: string }) {
  const queries = useQueryClient();
  const now = useNow(10_000);
  const [asking, setAsking] = useState(false);
  const revoke = async () => {
    await client.DELETE("/players/{player}", { params: { path: { player: player.id } } });
    await queries.invalidateQueries({ queryKey: ["players", player.site] });
    say(text.players.revoked);
  };
  const over = player.state === "expired" || player.state === "revoked";
  const facts = [
    text.players.by(player.made_by, moment(player.created_us, zone)),
    over ? "" : text.players.until(moment(player.expires_us, zone)),
    player.used_us ? text.players.used(age(now - player.used_us)) : text.players.neverUsed,
  ];
  return (
    <div className="row hold-row" data-testid="player-row" data-player={player.id} data-state={player.state}>
      <div className="row-main">
        <p className="row-title">{player.name}</p>
        <p className="soft">{player.camera ? player.camera_name || text.players.cameraGone : text.players.everyCamera}</p>
        <p className="muted small">{facts.filter(Boolean).join(", ")}</p>
        {player.state === "lost" && <p className="small soft">{text.players.lostText}</p>}
      </div>
      <div className="row-side hold-side">
        <PlayerBadge state={player.state} />
        {!over && <Button small onPress={() => setAsking(true)} data-testid="revoke-player">{text.players.revoke}</Button>}
      </div>
      {asking && <Confirm title={text.players.revokeTitle(player.name)} open onClose={() => setAsking(false)} submit={text.players.revoke} onSubmit={revoke}><p>{text.players.revokeText}</p></Confirm>}
    </div>
  );
}
