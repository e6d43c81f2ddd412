import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { useCan } from "../api/can";
import { client, data } from "../api/client";
import { regions as regionsQuery } from "../api/queries";
import type { Site } from "../api/types";
import { hereZone } from "../lib/time";
import { text } from "../text";
import { FormDialog } from "../ui/dialog";
import { Field, SelectField, TextField } from "../ui/field";

/** Every time zone that this browser knows, the viewer's own first. */
const zones = [...new Set([hereZone, ...Intl.supportedValuesOf("timeZone"), "UTC"])];

const newRegion = "+";

interface SiteDialogProps {
  open: boolean;
  onClose: () => void;
  /** The site to change; without it a new one is made. */
  site?: Site;
  onMade?: (site: Site) => void;
}

/** Makes a site, or changes what people know it by. */
export default function SiteDialog({ open, onClose, site, onMade }: SiteDialogProps) {
  const queries = useQueryClient();
  const can = useCan();
  const regions = useQuery(regionsQuery());
  const [name, setName] = useState(site?.name ?? "");
  const [address, setAddress] = useState(site?.address ?? "");
  const [timezone, setTimezone] = useState(site?.timezone ?? hereZone);
  const [region, setRegion] = useState(site?.region ?? "");
  const [regionName, setRegionName] = useState("");

  const save = async () => {
    let regionId = region;
    if (region === newRegion) {
      regionId = (await data(client.POST("/regions", { body: { name: regionName.trim() } }))).id;
      await queries.invalidateQueries({ queryKey: ["regions"] });
      setRegion(regionId);
    }
    const body = { name: name.trim(), address: address.trim(), timezone, region: regionId };
    const saved = site
      ? await data(client.PATCH("/sites/{site}", { params: { path: { site: site.id } }, body }))
      : await data(client.POST("/sites", { body }));
    await Promise.all([
      queries.invalidateQueries({ queryKey: ["sites"] }), queries.invalidateQueries({ queryKey: ["regions"] }), queries.invalidateQueries({ queryKey: ["site", saved.id] }),
    ]);
    onMade?.(saved);
  };

  const regionOptions = [
    { value: "", label: text.sites.noRegion },
    ...(regions.data ?? []).map((known) => ({ value: known.id, label: known.name })),
    ...(can("regions.edit") ? [{ value: newRegion, label: text.sites.newRegion }] : []),
  ];
  return (
    <FormDialog title={site ? text.sites.editTitle : text.sites.addTitle} open={open} onClose={onClose} submit={site ? text.actions.save : text.sites.add}
      ready={name.trim() !== "" && (region !== newRegion || regionName.trim() !== "")} onSubmit={save} data-testid="site-dialog">
      {!site && <p className="soft">{text.sites.addLead}</p>}
      <TextField label={text.fields.name} placeholder={text.sites.namePlaceholder} value={name} onChange={setName} maxLength={128} autoFocus required data-testid="site-name" />
      <TextField label={text.sites.address} placeholder={text.sites.addressPlaceholder} value={address} onChange={setAddress} maxLength={512} hint={text.sites.addressHint} />
      <SelectField label={text.sites.region} value={region} onChange={setRegion} options={regionOptions} />
      {region === newRegion && <TextField label={text.sites.regionName} value={regionName} onChange={setRegionName} maxLength={128} autoFocus />}
      <Field label={text.sites.timezone} hint={text.sites.timezoneHint}>
        {(ids) => (
          <>
            <input {...ids} className="input" list="zones" value={timezone} onChange={(event) => setTimezone(event.target.value)} autoComplete="off" spellCheck={false} />
            <datalist id="zones">{zones.map((zone) => <option key={zone} value={zone} />)}</datalist>
          </>
        )}
      </Field>
    </FormDialog>
  );
}
