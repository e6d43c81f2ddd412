import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Pencil } from "lucide-react";
import { useState } from "react";

import { client } from "../api/client";
import { clipExpiry, clipSettings } from "../api/queries";
import type { ClipSettings } from "../api/types";
import { bitrate, bytes } from "../lib/format";
import { text } from "../text";
import { Button } from "../ui/button";
import { FormDialog } from "../ui/dialog";
import { TextField } from "../ui/field";
import { Notice } from "../ui/notice";
import { Facts, Panel } from "../ui/page";
import { say } from "../ui/toast";
import { KeepFor, keepWords } from "./KeepFor";
import { money } from "./RulePreview";

/** How long clips are kept that say nothing of their own, and what that costs. */
export function KeepSettings() {
  const settings = useQuery(clipSettings());
  const [editing, setEditing] = useState(false);
  if (!settings.data) return null;
  const { keep_days, price, currency, line_kbps } = settings.data;
  return (
    <Panel title={text.rules.settings} data-testid="keep-settings"
      aside={<Button small icon={<Pencil size={15} aria-hidden />} onPress={() => setEditing(true)} data-testid="edit-keep-settings">{text.actions.edit}</Button>}>
      <Facts facts={[
        { label: text.rules.settingsKeep, value: keepWords(keep_days), note: text.rules.settingsLead },
        { label: text.rules.settingsPrice, value: money(price, currency) },
        line_kbps > 0 && { label: text.rules.settingsLine, value: bitrate(line_kbps) },
      ]} />
      {editing && <SettingsDialog settings={settings.data} onClose={() => setEditing(false)} />}
    </Panel>
  );
}

function SettingsDialog({ settings, onClose }: { settings: ClipSettings; onClose: () => void }) {
  const queries = useQueryClient();
  const [days, setDays] = useState(settings.keep_days);
  const [price, setPrice] = useState(String(settings.price));
  const [currency, setCurrency] = useState(settings.currency);
  const [line, setLine] = useState(settings.line_kbps > 0 ? String(settings.line_kbps / 1000) : "");
  const expiry = useQuery({ ...clipExpiry(days), enabled: days > 0 && days !== settings.keep_days });
  const number = (value: string) => Number(value.trim().replace(",", "."));
  const badMoney = !(number(price) >= 0) || price.trim() === "" || !/^[A-Z]{3}$/.test(currency);
  const badLine = line.trim() !== "" && !(number(line) > 0);
  const loses = days > 0 && days !== settings.keep_days && (expiry.data?.clips ?? 0) > 0;
  return (
    <FormDialog title={text.rules.settings} open onClose={onClose} submit={text.actions.save} danger={loses} ready={!badMoney && !badLine} data-testid="settings-dialog" onSubmit={async () => {
      await client.PUT("/clip-settings", { body: { keep_days: days, price: number(price), currency, line_kbps: line.trim() === "" ? 0 : Math.round(number(line) * 1000) } });
      await queries.invalidateQueries({ queryKey: ["clip-settings"] });
      await queries.invalidateQueries({ queryKey: ["clips"] });
      say(text.rules.settingsSaved);
    }}>
      <KeepFor bare="default" label={text.rules.settingsKeep} value={days} onChange={setDays} hint={text.clips.keepHint} />
      {loses && expiry.data && <Notice tone="warn">{text.rules.settingsExpire(expiry.data.clips, bytes(expiry.data.bytes))}</Notice>}
      <div className="pair">
        <TextField label={text.rules.settingsPrice} value={price} onChange={setPrice} inputMode="decimal" {...(badMoney ? { fault: text.rules.settingsBad } : {})} />
        <TextField label={text.rules.settingsCurrency} value={currency} onChange={(next) => setCurrency(next.toUpperCase())} maxLength={3} autoCapitalize="characters" spellCheck={false} />
      </div>
      <TextField label={text.rules.settingsLine} hint={text.rules.settingsLineHint} value={line} onChange={setLine} inputMode="decimal" {...(badLine ? { fault: text.rules.lineBad } : {})} />
    </FormDialog>
  );
}
