// status_page.js URL FOLDER: the status page as people look at it: on a desk, by night, on a phone, in the
// middle of a reload, and when nobody answers any more. Each look leaves a screenshot in FOLDER; whoever
// runs this goes by them: the reload is to begin after status-phone.png, the end to come after
// status-reload.png.
'use strict';
const { watch } = require('./watch.js');
const [url, folder] = process.argv.slice(2);

// What stands there.
async function read(page) {
    return page.evaluate(() => ({
        state: document.getElementById('state').textContent,
        workers: [...document.querySelectorAll('.worker')].map((w) => w.innerText.replace(/\s+/g, ' ')),
        deaths: [...document.querySelectorAll('#deaths li')].map((li) => li.innerText),
        change: document.getElementById('change').hidden ? null : document.getElementById('change-body').innerText,
        lost: getComputedStyle(document.getElementById('lost')).display !== 'none',
        overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        paper: getComputedStyle(document.body).backgroundColor,
    }));
}

async function shot(page, name, fullPage) {
    const seen = await read(page);
    await page.screenshot({ path: `${folder}/status-${name}.png`, fullPage, caret: 'initial' });
    return seen;
}

// Every line of two workers has so many points, and somebody is served.
function drawn() {
    const lines = [...document.querySelectorAll('.worker polyline')];
    return lines.length === 6 && lines.every((p) => p.getAttribute('points').split(' ').length >= 4);
}

watch(async (page) => {
    const seen = {};
    await page.setViewportSize({ width: 1000, height: 760 });
    await page.goto(`${url}/status`);
    await page.waitForFunction(drawn);
    seen.desk = await shot(page, 'desk', true);
    await page.emulateMedia({ colorScheme: 'dark' });
    seen.night = await shot(page, 'night', true);
    await page.setViewportSize({ width: 360, height: 740 });
    seen.phone = await shot(page, 'phone', true);
    await page.setViewportSize({ width: 1000, height: 760 });
    await page.emulateMedia({ colorScheme: 'light' });
    await page.waitForFunction(() => !document.getElementById('change').hidden &&
        document.querySelectorAll('.worker').length === 4 &&
        document.getElementById('change-body').innerText.includes('settle'));
    seen.reload = await shot(page, 'reload', true);
    await page.locator('#lost').waitFor({ state: 'visible' });
    seen.gone = await read(page);
    return seen;
});
