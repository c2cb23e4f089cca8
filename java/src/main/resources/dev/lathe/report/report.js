'use strict';
/* Draws the charts of the report from the JSON in #figures. Colours come from the style sheet, so
 * that light, dark and print have one source; what a colour says, a shape or a word says too. */
(() => {
  const figures = JSON.parse(document.getElementById('figures').textContent);
  document.documentElement.classList.add('scripted');
  const charts = new Map();

  const digits = (value, count) => {
    if (value === 0) return '0';
    const rounded = Number(value.toPrecision(count));
    return rounded.toLocaleString('en-US', {maximumSignificantDigits: Math.max(count, Math.ceil(Math.log10(Math.abs(rounded) + 1)))});
  };
  const bytes = value => {
    const units = ['B', 'kB', 'MB', 'GB', 'TB'];
    let unit = 0;
    while (value >= 999.5 && unit < units.length - 1) { value /= 1000; unit++; }
    return digits(value, 3) + ' ' + units[unit];
  };
  const change = value => value === 0 ? '0 %' : (value < 0 ? '−' : '+') + digits(Math.abs(value), 3) + ' %';
  const escape = text => text.replace(/[&<>"']/g, c => '&#' + c.charCodeAt(0) + ';');
  const shorten = (text, length) => text.length > length ? text.slice(0, length - 1) + '…' : text;

  const theme = () => {
    const style = getComputedStyle(document.documentElement);
    const of = name => style.getPropertyValue('--' + name).trim();
    return {
      ink: of('ink'), muted: of('muted'), line: of('line'), card: of('card'),
      accepted: of('accepted'), rejected: of('rejected'), baseline: of('neutral'),
      font: getComputedStyle(document.body).fontFamily,
    };
  };

  /* Losses run from hundredths of a percent to a factor of ten: linear around 0, logarithmic
   * further out, as asinh does. One unit is a factor of ten; 0.1 % is where it bends. */
  const BEND = 0.1;
  const squeeze = loss => Math.asinh(loss / (2 * BEND)) / Math.LN10;
  const stretch = at => 2 * BEND * Math.sinh(at * Math.LN10);

  const axis = (t, extra) => Object.assign({
    axisLine: {lineStyle: {color: t.line}}, axisTick: {show: false},
    axisLabel: {color: t.muted, fontSize: 12}, nameTextStyle: {color: t.muted, fontSize: 12},
    splitLine: {lineStyle: {color: t.line}},
  }, extra);
  const base = t => ({
    animation: false,
    textStyle: {fontFamily: t.font, color: t.ink},
    aria: {enabled: false},
    tooltip: {
      trigger: 'item', confine: true, backgroundColor: t.card, borderColor: t.line,
      textStyle: {color: t.ink, fontSize: 13},
    },
  });

  const quality = (t, narrow) => {
    const shape = {baseline: 'rect', accepted: 'circle', rejected: 'diamond'};
    const losses = figures.points.map(p => squeeze(p.loss_percent)).concat(squeeze(figures.max_loss_percent));
    const top = Math.max(1, Math.ceil(Math.max(...losses)));
    const bottom = Math.min(-1, Math.floor(Math.min(...losses)));
    const below = Math.min(...losses) < 0;
    const largest = Math.max(...figures.points.map(p => p.bytes));
    // Beside its point; above or below it where another point is in the way.
    const inTheWay = p => figures.points.filter(q => q.bytes > p.bytes && q.bytes - p.bytes < largest * 0.45
      && Math.abs(squeeze(q.loss_percent) - squeeze(p.loss_percent)) < 0.4).length;
    // Labels of points in one place, one below the other.
    const stacked = p => {
      const here = figures.points.filter(q => Math.abs(q.bytes - p.bytes) < largest * 0.03
        && Math.abs(squeeze(q.loss_percent) - squeeze(p.loss_percent)) < 0.3)
        .sort((a, b) => b.loss_percent - a.loss_percent);
      return (here.indexOf(p) - (here.length - 1) / 2) * 33;
    };
    const place = p => p.bytes > largest / 2 ? {position: 'bottom', align: 'right', offset: [8, 0]}
      : inTheWay(p) === 0 ? {position: 'right', align: 'left', offset: [0, stacked(p)]}
      : {position: inTheWay(p) % 2 ? 'bottom' : 'top', align: 'left', offset: [-8, 0]};
    const series = ['baseline', 'accepted', 'rejected'].map(verdict => ({
      name: verdict, type: 'scatter', symbol: shape[verdict], symbolSize: verdict === 'rejected' ? 15 : 13,
      itemStyle: verdict === 'rejected'
        ? {color: t.card, borderColor: t.rejected, borderWidth: 2.5} : {color: t[verdict]},
      clip: false,
      label: {
        show: true, color: t.ink, fontSize: 12, distance: 8,
        formatter: p => shorten(p.data.point.name, narrow ? 20 : 30) + '\n' + change(p.data.point.loss_percent),
        lineHeight: 15,
      },
      data: figures.points.filter(p => p.verdict === verdict).map(p => ({
        value: [p.bytes, squeeze(p.loss_percent)], point: p, label: place(p),
      })),
    }));
    series[0].markLine = {
      silent: true, symbol: 'none', lineStyle: {color: t.rejected, type: 'dashed', width: 1.5},
      label: {
        formatter: 'allowed: ' + change(figures.max_loss_percent), position: 'insideEndTop',
        color: t.rejected, fontSize: 12,
      },
      data: [{yAxis: squeeze(figures.max_loss_percent)}],
    };
    return Object.assign(base(t), {
      grid: {left: 76, right: 20, top: 62, bottom: 44},
      legend: {top: 0, left: 0, textStyle: {color: t.ink}, itemGap: 16, itemWidth: 14, itemHeight: 13, selectedMode: false},
      xAxis: axis(t, {
        type: 'value', min: 0, max: largest * 1.08, name: 'bytes of the weights file', nameLocation: 'middle', nameGap: 28,
        splitNumber: narrow ? 3 : 5, axisLabel: {color: t.muted, formatter: bytes, hideOverlap: true, showMaxLabel: false},
      }),
      yAxis: axis(t, {
        type: 'value', min: bottom, max: top, interval: 1, name: 'perplexity, change', nameLocation: 'end',
        nameTextStyle: {color: t.muted, align: 'left', padding: [0, 0, 0, -72]},
        axisLabel: {color: t.muted, formatter: v => v < 0 && !below ? '' : change(Number(stretch(v).toPrecision(1)))},
      }),
      series,
      tooltip: Object.assign(base(t).tooltip, {
        formatter: p => p.data && p.data.point
          ? `<b>${escape(p.data.point.name)}</b> (${p.data.point.verdict})<br>${bytes(p.data.point.bytes)}<br>perplexity ${digits(p.data.point.perplexity, 5)} (${change(p.data.point.loss_percent)})` : '',
      }),
    });
  };

  const speed = (t, narrow) => {
    const rows = figures.speeds;
    const most = Math.max(...rows.map(r => r.high ?? r.tokens_per_second));
    const striped = {symbol: 'rect', dashArrayX: [1, 0], dashArrayY: [2, 3], rotation: Math.PI / 4, color: t.card};
    return Object.assign(base(t), {
      grid: {left: narrow ? 96 : 168, right: narrow ? 102 : 104, top: 8, bottom: 44},
      xAxis: axis(t, {type: 'value', min: 0, max: most, name: 'tokens/s', nameLocation: 'middle', nameGap: 26, splitNumber: 4,
        axisLabel: {color: t.muted, hideOverlap: true, showMaxLabel: false, formatter: v => digits(v, 3)}}),
      yAxis: axis(t, {
        type: 'category', inverse: true, data: rows.map(r => r.name), splitLine: {show: false},
        axisLabel: {color: t.ink, width: narrow ? 90 : 158, overflow: 'break', fontSize: 12, lineHeight: 14, interval: 0},
      }),
      series: [{
        type: 'bar', barMaxWidth: 22,
        data: rows.map(r => ({
          value: r.tokens_per_second,
          itemStyle: {color: t[r.verdict], borderRadius: [0, 3, 3, 0], decal: r.verdict === 'rejected' ? striped : undefined},
        })),
      }, {
        /* The figure stands beyond the line of the fastest repetition, not on it. */
        type: 'scatter', silent: true, symbolSize: 1, itemStyle: {color: 'transparent'},
        data: rows.map((r, i) => [Math.max(r.high ?? 0, r.tokens_per_second), i]),
        label: {
          show: true, position: 'right', distance: 8, color: t.ink, fontSize: 12, lineHeight: 14,
          formatter: p => {
            const r = rows[p.dataIndex];
            return digits(r.tokens_per_second, 3) + (r.speedup == null || r.verdict === 'baseline' ? '' : ` (${digits(r.speedup, 3)}×)`)
              + (r.verdict === 'rejected' ? '\nrejected' : '');
          },
        },
      }, {
        type: 'custom', silent: true, z: 5,
        data: rows.map((r, i) => [i, r.low, r.high]).filter(row => row[1] != null && row[2] != null),
        renderItem: (params, api) => {
          const from = api.coord([api.value(1), api.value(0)]);
          const to = api.coord([api.value(2), api.value(0)]);
          const line = (x1, y1, x2, y2) => ({type: 'line', shape: {x1, y1, x2, y2}, style: {stroke: t.ink, lineWidth: 1.25}});
          return {type: 'group', children: [
            line(from[0], from[1], to[0], to[1]),
            line(from[0], from[1] - 4, from[0], from[1] + 4), line(to[0], to[1] - 4, to[0], to[1] + 4),
          ]};
        },
      }],
      tooltip: Object.assign(base(t).tooltip, {
        formatter: p => {
          const r = rows[p.dataIndex];
          return `<b>${escape(r.name)}</b> (${r.verdict})<br>${digits(r.tokens_per_second, 4)} tokens/s`
            + (r.low == null ? '' : `<br>from ${digits(r.low, 4)} to ${digits(r.high, 4)}`);
        },
      }),
    });
  };

  const operations = (t, narrow) => {
    /* Half a dozen bars can be read; the rest is in the table. */
    const rows = figures.operations.slice(0, 7);
    const rest = figures.operations.slice(7);
    if (rest.length > 0) {
      const sum = key => rest.reduce((total, r) => total + (r[key] ?? 0), 0);
      rows.push({name: `${rest.length} others`, before_ms: sum('before_ms'), after_ms: sum('after_ms')});
    }
    const time = v => v < 0.1 ? digits(v * 1000, 3) + ' µs' : digits(v, 3) + ' ms';
    const series = (name, key, color, decal) => ({
      name, type: 'bar', barMaxWidth: 13, barGap: '15%',
      itemStyle: {color, decal, borderRadius: [0, 2, 2, 0]},
      data: rows.map(r => r[key] ?? null),
      label: {show: true, position: 'right', color: t.ink, fontSize: 11, formatter: p => p.value == null ? '' : time(p.value)},
    });
    const all = key => rows.reduce((total, r) => total + (r[key] ?? 0), 0);
    return Object.assign(base(t), {
      grid: {left: narrow ? 104 : 130, right: 72, top: narrow ? 58 : 36, bottom: 28},
      legend: {top: 0, left: 0, textStyle: {color: t.ink}, selectedMode: false, formatter: name => name + ': ' + time(all(name === 'before' ? 'before_ms' : 'after_ms')) + ' in all'},
      xAxis: axis(t, {type: 'value', min: 0, splitNumber: narrow ? 3 : 5, axisLabel: {color: t.muted, formatter: v => v === 0 ? '0' : time(v), hideOverlap: true}}),
      yAxis: axis(t, {
        type: 'category', inverse: true, data: rows.map(r => r.name), splitLine: {show: false},
        axisLabel: {color: t.ink, width: narrow ? 96 : 122, overflow: 'break', fontSize: 12, lineHeight: 14, interval: 0},
      }),
      series: [
        series('before', 'before_ms', t.baseline, {symbol: 'rect', dashArrayX: [1, 0], dashArrayY: [3, 3], rotation: -Math.PI / 4, color: t.card}),
        series('after', 'after_ms', t.accepted, undefined),
      ],
      tooltip: Object.assign(base(t).tooltip, {formatter: p => `<b>${escape(p.name)}</b>, ${p.seriesName}<br>${time(p.value)} per token`}),
    });
  };

  const latency = (t, narrow) => {
    const dashes = ['solid', [7, 4], [2, 3], [10, 3, 2, 3], [4, 4], [14, 4]];
    const marks = ['rect', 'circle', 'triangle', 'diamond', 'pin', 'arrow'];
    const all = figures.latencies.flatMap(c => c.quantiles.map(q => q.ms)).filter(v => v > 0);
    const step = v => Math.pow(10, Math.floor(Math.log10(v)));
    const floor = v => Math.floor(v / step(v)) * step(v);
    const ceil = v => Math.ceil(v / step(v)) * step(v);
    const ms = v => v < 0.1 ? digits(v * 1000, 3) + ' µs' : digits(v, 3) + ' ms';
    return Object.assign(base(t), {
      grid: {left: 48, right: 30, top: narrow ? 24 + 22 * figures.latencies.length : 84, bottom: 44},
      legend: {top: 0, left: 0, orient: narrow ? 'vertical' : 'horizontal', itemWidth: 44, textStyle: {color: t.ink, fontSize: 12}, selectedMode: false},
      xAxis: axis(t, {type: 'log', min: floor(Math.min(...all)), max: ceil(Math.max(...all)), name: 'time of a token (logarithmic)', nameLocation: 'middle', nameGap: 26,
        axisLabel: {color: t.muted, formatter: ms, hideOverlap: true}}),
      yAxis: axis(t, {type: 'value', min: 0, max: 100, interval: 25, axisLabel: {color: t.muted, formatter: '{value} %'}}),
      series: figures.latencies.map((curve, i) => {
        const color = curve.verdict === 'accepted' ? t.accepted : curve.verdict === 'rejected' ? t.rejected : t.baseline;
        return {
          name: curve.name + (curve.verdict === 'rejected' ? ' (rejected)' : ''), type: 'line',
          symbol: marks[i % marks.length], symbolSize: 7, color,
          lineStyle: {color, width: 2, type: dashes[i % dashes.length]},
          data: curve.quantiles.filter(q => q.ms > 0).map(q => [q.ms, 100 * q.q]),
        };
      }),
      tooltip: Object.assign(base(t).tooltip, {formatter: p => `<b>${escape(p.seriesName)}</b><br>${digits(p.value[1], 3)} % of tokens within ${ms(p.value[0])}`}),
    });
  };

  const drawings = {'chart-quality': quality, 'chart-speed': speed, 'chart-operations': operations, 'chart-latency': latency};
  const draw = () => {
    const t = theme();
    for (const [id, option] of Object.entries(drawings)) {
      const place = document.getElementById(id);
      if (!place) continue;
      let chart = charts.get(id);
      if (!chart) {
        chart = echarts.init(place, null, {renderer: 'svg'});
        charts.set(id, chart);
      }
      chart.resize();
      chart.setOption(option(t, place.clientWidth < 460), true);
    }
  };
  draw();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  matchMedia('print').addEventListener('change', draw);
  let width = innerWidth;
  addEventListener('resize', () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
})();
