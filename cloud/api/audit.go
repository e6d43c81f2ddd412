package api

import (
	"context"
	"strconv"

	"holdfast/cloud/access"
	"holdfast/shared/id"
)

func (d *door) audit() {
	type in struct {
		Before int64  `query:"before" minimum:"0" doc:"The 'next' of the page before."`
		Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
		Person string `query:"person" maxLength:"64" doc:"Only what this person did; removed people too."`
	}
	add(d, get("/audit", "listAudit", access.SeeAudit, "Who saw, exported and changed what, newest first"),
		func(ctx context.Context, who access.Actor, in *in) (*bodyOf[Audit], error) {
			var pid id.Person
			if in.Person != "" {
				var err error
				if pid, err = parse[id.Person](in.Person); err != nil {
					return nil, err
				}
			}
			chain, err := d.access.Chain(ctx, who)
			if err != nil {
				return nil, err
			}
			rows, err := d.access.Audit(ctx, who, pid, in.Before, in.Limit+1)
			out := Audit{Rows: []AuditRow{}, Chain: chain}
			if len(rows) > in.Limit {
				rows = rows[:in.Limit]
				out.Next = strconv.FormatInt(rows[in.Limit-1].Seq, 10)
			}
			for _, r := range rows {
				out.Rows = append(out.Rows, AuditRow{
					Seq: r.Seq, AtUs: r.AtUs, Person: string(r.Person), PersonName: r.PersonName, Action: r.Action, Target: r.Target,
					Site: string(r.Site), Detail: r.Detail, IP: r.IP,
				})
			}
			return body(out), err
		})
}
